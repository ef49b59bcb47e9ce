#include "adapters.h"

int main(int count, char** arguments) { return adapter::run_worker_adapter(count, arguments); }
