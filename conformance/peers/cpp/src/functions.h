// The functions that this worker knows: sleep, spin, echo, fail.
#pragma once

#include "task_process.h"

namespace peer {

const Functions& standard_functions();

}  // namespace peer
