#include "store.h"

#include <fstream>
#include <sstream>

#include "connection.h"

namespace peer {

Bytes new_payload_id() { return random_bytes(32); }

Store::Store(const ObjectStorageAddress& address) : directory_(address.host) {
  if (address.scheme != "file")
    throw StoreError("payloads are kept under the scheme \"" + address.scheme + "\"; this peer knows \"file\"");
}

std::filesystem::path Store::path(const Bytes& id) const {
  if (id.empty() || id.size() > 100) throw StoreError("an id of a payload must be 1 to 100 bytes long");
  return directory_ / to_hex(id);
}

void Store::put(const Bytes& id, const Bytes& payload) const {
  if (payload.size() > largest) throw StoreError("the payload is larger than 16 MiB");
  const auto name = path(id);
  const auto half = directory_ / ("half-" + to_hex(random_bytes(16)));
  std::ofstream file(half, std::ios::binary);
  file << payload;
  file.close();
  std::error_code error;
  if (file) std::filesystem::rename(half, name, error);
  if (!file || error) {
    std::filesystem::remove(half, error);
    throw StoreError("cannot write " + name.string());
  }
}

Bytes Store::get(const Bytes& id) const {
  const auto name = path(id);
  std::ifstream file(name, std::ios::binary);
  if (!file) throw StoreError("there is no payload " + to_hex(id));
  std::ostringstream all;
  all << file.rdbuf();
  return all.str();
}

void Store::remove(const Bytes& id) const noexcept {
  try {
    std::filesystem::remove(path(id));
  } catch (const std::exception&) {
    // An id that cannot be, or a directory that is gone: nothing is stored there.
  }
}

bool Store::contains(const Bytes& id) const {
  std::error_code error;
  return std::filesystem::exists(path(id), error);
}

}  // namespace peer
