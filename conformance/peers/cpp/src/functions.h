// The functions that tasks of the program's worker may name.
#pragma once

#include "task_process.h"

namespace peer {

const Functions& functions();

}  // namespace peer
