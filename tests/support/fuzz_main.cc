// A main() for fuzz targets where no libFuzzer is: replays the corpus, then mutates it for a
// bounded time from a fixed seed. It measures no coverage; what it finds, a libFuzzer run finds
// too, but this one runs with every test.
//
//   target [corpus directory or file]...
//   FUZZ_SECONDS  time for mutations, default 3; 0: replay only     FUZZ_SEED  default 1
//   FUZZ_RUNS     stop after so many mutations; default: no bound   FUZZ_MAX_BYTES  largest input,
//   default 65536
//
// When the target crashes or hangs, the input is left in $TMPDIR/fuzz-crash-<pid>: pass that file
// to replay it.
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "core/env/file_system.h"
#include "tests/support/sim_rng.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
// Sanitizers end the process by themselves; they call this first when it is there.
extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace {

using bascule::Between;
using bascule::SimRng;

constexpr unsigned kHangSeconds = 30;
constexpr size_t kMaxCorpusFileBytes = size_t{16} << 20;

// Read by the signal handler.
const char* current_data = nullptr;
size_t current_size = 0;
char crash_path[4096];

void SaveInput() {
  const int fd = open(crash_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (fd < 0) return;
  const ssize_t written = write(fd, current_data, current_size);
  close(fd);
  static constexpr char kText[] = "\nfuzz: the input is in ";
  if (written < 0 || write(2, kText, sizeof(kText) - 1) < 0 ||
      write(2, crash_path, strlen(crash_path)) < 0 || write(2, "\n", 1) < 0) {
    return;  // nowhere left to tell
  }
}

void OnSignal(int number) {
  SaveInput();
  signal(number, SIG_DFL);
  raise(number);
}

void InstallHandlers() {
  const char* folder = getenv("TMPDIR");
  snprintf(crash_path, sizeof(crash_path), "%s/fuzz-crash-%d", folder != nullptr ? folder : "/tmp",
           getpid());
  for (const int number : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM, SIGTERM})
    signal(number, OnSignal);
  if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(SaveInput);
}

uint64_t NumberFrom(const char* name, uint64_t otherwise) {
  const char* text = getenv(name);
  return text != nullptr && *text != '\0' ? strtoull(text, nullptr, 10) : otherwise;
}

void RunOne(const std::string& input) {
  // A heap copy of exactly this size lets a sanitizer see the first byte read past the end.
  const std::vector<uint8_t> copy(input.begin(), input.end());
  current_data = input.data();
  current_size = input.size();
  alarm(kHangSeconds);
  LLVMFuzzerTestOneInput(copy.data(), copy.size());
}

void LoadFile(const std::string& path, std::vector<std::string>& corpus) {
  auto& fs = bascule::RealFileSystem();
  const auto file = fs.Open(path, bascule::OpenMode::kRead);
  if (!file.ok()) return;
  auto contents = bascule::ReadWhole(**file, kMaxCorpusFileBytes);
  if (contents.ok()) corpus.push_back(std::move(*contents));
}

void Load(const std::string& path, std::vector<std::string>& corpus) {
  const auto entries = bascule::RealFileSystem().List(path);
  if (!entries.ok()) return LoadFile(path, corpus);  // a file, or nothing yet
  for (const auto& entry : *entries) {
    const std::string child = bascule::JoinPath(path, entry.name);
    if (entry.is_directory) {
      Load(child, corpus);
    } else {
      LoadFile(child, corpus);
    }
  }
}

// Numbers at the edges of lengths, counts and signs.
constexpr uint64_t kInteresting[] = {
    0,      1,       2,          0x7f,       0x80,       0xff,       0x100,      0x7fff,     0x8000,
    0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff, 1ull << 32, 1ull << 62, ~0ull >> 1, ~0ull};

std::string InterestingNumber(SimRng& rng) {
  uint64_t value = kInteresting[rng.Below(std::size(kInteresting))];
  if (rng.Below(4) == 0) value += Between(rng, 0, 16) - 8;
  std::string bytes;
  if (rng.Below(3) == 0) {  // as a varint
    for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<char>(value | 0x80));
    bytes.push_back(static_cast<char>(value));
    return bytes;
  }
  const size_t width = size_t{1} << rng.Below(4);
  for (size_t i = 0; i < width; ++i) bytes.push_back(static_cast<char>(value >> (8 * i)));
  if (rng.Below(2) == 0) std::reverse(bytes.begin(), bytes.end());
  return bytes;
}

std::string RandomBytes(SimRng& rng, size_t n) {
  std::string bytes(n, '\0');
  for (char& c : bytes) c = static_cast<char>(rng.Next());
  return bytes;
}

void Mutate(std::string& input, const std::vector<std::string>& corpus, SimRng& rng) {
  const size_t at = rng.Below(input.size() + 1);
  const size_t rest = input.size() - at;
  switch (rng.Below(8)) {
    case 0:
      if (rest > 0) input[at] = static_cast<char>(input[at] ^ (1 << rng.Below(8)));
      break;
    case 1:
      if (rest > 0) input[at] = static_cast<char>(rng.Next());
      break;
    case 2:
      input.resize(at);
      break;
    case 3:
      input.erase(at, Between(rng, 0, std::min<size_t>(rest, 64)));
      break;
    case 4:
      input.insert(at, RandomBytes(rng, Between(rng, 1, 16)));
      break;
    case 5: {  // over what is there, as a changed length field would be
      const std::string number = InterestingNumber(rng);
      input.replace(at, std::min(rest, number.size()), number);
      break;
    }
    case 6: {
      const size_t length = Between(rng, 0, std::min<size_t>(rest, 256));
      input.insert(rng.Below(input.size() + 1), input.substr(at, length));
      break;
    }
    default: {
      const std::string& other = corpus[rng.Below(corpus.size())];
      input.replace(at, rest, other.substr(rng.Below(other.size() + 1)));
      break;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  InstallHandlers();
  std::vector<std::string> corpus;
  for (int i = 1; i < argc; ++i) Load(argv[i], corpus);
  const size_t files = corpus.size();
  corpus.emplace_back();
  for (const std::string& input : corpus) RunOne(input);

  const uint64_t seed = NumberFrom("FUZZ_SEED", 1);
  const uint64_t max_runs = NumberFrom("FUZZ_RUNS", UINT64_MAX);
  const size_t max_bytes = NumberFrom("FUZZ_MAX_BYTES", 65536);
  const auto end =
      std::chrono::steady_clock::now() + std::chrono::seconds(NumberFrom("FUZZ_SECONDS", 3));
  SimRng rng(seed);
  uint64_t runs = 0;
  while (runs < max_runs && std::chrono::steady_clock::now() < end) {
    std::string input = corpus[rng.Below(corpus.size())];
    if (input.empty()) input = RandomBytes(rng, rng.Below(128));
    for (uint64_t changes = Between(rng, 1, 8); changes > 0; --changes) Mutate(input, corpus, rng);
    if (input.size() > max_bytes) input.resize(max_bytes);
    RunOne(input);
    ++runs;
  }
  alarm(0);
  printf("fuzz: %zu corpus files, %llu mutations, seed %llu\n", files,
         static_cast<unsigned long long>(runs), static_cast<unsigned long long>(seed));
  return 0;
}
