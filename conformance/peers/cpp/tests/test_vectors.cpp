// Every vector of protocol/vectors: what is read is what its JSON says; what is malformed is refused.
#include <fstream>
#include <sstream>

#include "check.h"
#include "json.h"
#include "wire.h"

namespace testing::vectors_tests {
namespace {

using namespace peer;

Bytes contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  std::ostringstream all;
  all << file.rdbuf();
  return all.str();
}

void check_vector(const std::string& path) {
  const auto said = json::parse(contents(path + ".json"));
  const Bytes frame = contents(path + ".bin");
  const std::string expect = said.at("expect");
  CHECK(frame.size() == said.at("bytes").get<std::size_t>());
  if (expect == "message" || expect == "accept") {
    const Message message = decode(frame);
    CHECK(to_json(message) == said.at("message"));
    CHECK(decode(encode(message)) == message);
    if (expect == "message") CHECK(encode(message) == frame);  // this library lays out a message like the reference's
    return;
  }
  CHECK(expect == "drop" || expect == "either");
  // What is well-formed and only unknown is dropped by the machines: a decoder says what it is.
  const std::string reason = said.value("reason", "");
  const bool unknown = reason == "unknown member" || reason.starts_with("unsupported member");
  try {
    CHECK(std::holds_alternative<UnknownMember>(decode(frame)) ? unknown : expect == "either");
  } catch (const Malformed&) {
    CHECK(!unknown);
  }
}

Bytes words(std::initializer_list<std::uint64_t> values) {
  Bytes frame;
  for (const auto value : values)
    for (unsigned shift = 0; shift < 64; shift += 8) frame += static_cast<char>((value >> shift) & 255U);
  return frame;
}

bool refused(const Bytes& frame) {
  try {
    static_cast<void>(decode(frame));
    return false;
  } catch (const Malformed&) {
    return true;
  }
}

}  // namespace

std::vector<Test> all() {
  const std::string folder = REPOSITORY "/protocol/vectors/";
  std::vector<Test> tests;
  const auto index = json::parse(contents(folder + "index.json"));
  for (const auto& vector : index.at("vectors")) {
    const std::string name = vector.at("name");
    tests.push_back({name, [path = folder + name] { check_vector(path); }});
  }
  CHECK(tests.size() > 100);
  tests.push_back({"a frame cut off anywhere is refused", [] {
                     const Bytes frame = encode(TaskLog{"id", LogType::err, "text"});
                     for (std::size_t length = 0; length < frame.size(); ++length)
                       CHECK(refused(frame.substr(0, length)));
                   }});
  tests.push_back({"a null root reads as a task without an id: refused", [] {
                     CHECK(refused(words({0x0000'0001'0000'0000U, 0})));
                   }});
  tests.push_back({"any one byte of a frame changed: read or refused, nothing else", [] {
                     const Bytes frame = encode(
                         GraphTask{"graph", "source", {"a"}, {{"a", "s", "", "f", {{ArgumentType::task, "b"}}, {{"c", 1}}}}});
                     for (std::size_t at = 0; at < frame.size(); ++at)
                       for (int value = 0; value < 256; ++value) {
                         Bytes changed = frame;
                         changed[at] = static_cast<char>(value);
                         static_cast<void>(refused(changed));
                       }
                   }});
  tests.push_back({"a frame beyond the limit is refused", [] { CHECK(refused(Bytes(longest_frame + 8, '\0'))); }});
  return tests;
}

}  // namespace testing::vectors_tests
