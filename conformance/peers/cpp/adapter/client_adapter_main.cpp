#include "adapters.h"

int main() { return adapter::run_client_adapter(); }
