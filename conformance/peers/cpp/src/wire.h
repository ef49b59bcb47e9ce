// Frames: one unpacked Cap'n Proto message each (T2, M1 to M4).
#pragma once

#include <stdexcept>

#include "messages.h"

namespace peer {

// The frame is malformed, or larger than this implementation reads (M1, M2). `what()` is the reason.
class Malformed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The longest frame that is read, in bytes (M2 asks for 1 MiB at least).
inline constexpr std::size_t longest_frame = 16U << 20U;

// What the frame says. Throws Malformed.
Message decode(const Bytes& frame);

// A frame that says it. An UnknownMember cannot be encoded: throws std::invalid_argument.
Bytes encode(const Message& message);

// Whether these bytes can be a task id (M5).
constexpr bool is_task_id(const Bytes& bytes) { return !bytes.empty() && bytes.size() <= 255; }

}  // namespace peer
