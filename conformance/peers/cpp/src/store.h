// Where this peer keeps payloads: a directory with a file for each, which all parties on one machine open. Its scheme in
// ObjectStorageAddress is "file", its host the directory. For several threads and processes at once.
#pragma once

#include <filesystem>
#include <stdexcept>

#include "messages.h"

namespace peer {

// The payload is not there, too large, or the storage cannot be reached. `what()` says which.
class StoreError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// 32 random bytes: schedulers of OpenGRIS Scaler take ids of no other length.
Bytes new_payload_id();

class Store {
 public:
  static constexpr std::size_t largest = 16U << 20U;  // bytes of one payload

  // Throws StoreError if the scheme is not "file".
  explicit Store(const ObjectStorageAddress& address);

  void put(const Bytes& id, const Bytes& payload) const;  // whole or not at all; throws StoreError
  Bytes get(const Bytes& id) const;                       // throws StoreError
  void remove(const Bytes& id) const noexcept;            // one that is not there is no error
  bool contains(const Bytes& id) const;

 private:
  std::filesystem::path path(const Bytes& id) const;

  std::filesystem::path directory_;
};

}  // namespace peer
