#include "core/env/file_system.h"

#include "absl/strings/str_cat.h"
#include "core/base/check.h"

namespace bascule {
namespace {

absl::Status WriteTemporary(FileSystem& fs, const std::string& path, std::string_view contents,
                            OpenMode mode) {
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, fs.Open(path, mode));
  RETURN_IF_ERROR(file->WriteAt(FilePosition(0), contents));
  return file->Sync();
}

}  // namespace

absl::Status ReadFully(File& file, FilePosition position, char* out, size_t n) {
  size_t done = 0;
  while (done < n) {
    ASSIGN_OR_RETURN(const size_t got, file.ReadAt(position + done, out + done, n - done));
    BASCULE_CHECK_LE(got, n - done);
    if (got == 0) {
      return absl::DataLossError(absl::StrCat("read ", file.path(), ": ends at ",
                                              position.value() + done, ", expected ", n,
                                              " bytes from ", position.value()));
    }
    done += got;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadWhole(File& file, size_t limit) {
  ASSIGN_OR_RETURN(const uint64_t size, file.Size());
  if (size > limit) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "read ", file.path(), ": ", size, " bytes, more than the ", limit, " allowed here"));
  }
  std::string contents(size, '\0');
  RETURN_IF_ERROR(ReadFully(file, FilePosition(0), contents.data(), contents.size()));
  return contents;
}

absl::Status WriteFileAtomically(FileSystem& fs, const std::string& path, std::string_view contents,
                                 OpenMode mode) {
  const std::string temporary = absl::StrCat(path, ".tmp");
  absl::Status written = WriteTemporary(fs, temporary, contents, mode);
  if (written.ok()) written = fs.Rename(temporary, path);
  if (!written.ok()) {
    // The first error is the one to report; a left-over temporary file is overwritten by the next
    // attempt.
    fs.Remove(temporary).IgnoreError();
    return written;
  }
  return fs.SyncDir(ParentPath(path));
}

std::string JoinPath(std::string_view directory, std::string_view name) {
  std::string path;
  path.reserve(directory.size() + 1 + name.size());
  path.append(directory);
  if (!path.empty() && path.back() != '/') path.push_back('/');
  path.append(name);
  return path;
}

std::string ParentPath(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  path = path.substr(0, slash);
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  return path.empty() ? "/" : std::string(path);
}

}  // namespace bascule
