#include "core/env/posix_error.h"

#include <errno.h>
#include <string.h>

#include "absl/strings/str_cat.h"

namespace bascule::internal {
namespace {

absl::StatusCode CodeOf(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return absl::StatusCode::kResourceExhausted;
    case ENOENT:
      return absl::StatusCode::kNotFound;
    case EEXIST:
      return absl::StatusCode::kAlreadyExists;
    default:
      return absl::StatusCode::kInternal;
  }
}

const char* RemedyOf(int error) {
  switch (error) {
    case ENOSPC:
      return "; free space on this disk";
    case EDQUOT:
      return "; raise the disk quota of this user or free space";
    case EACCES:
    case EPERM:
      return "; check owner and permissions";
    case EROFS:
      return "; the file system is mounted read-only, remount it or check the disk";
    case EMFILE:
    case ENFILE:
      return "; raise the limit of open files (ulimit -n)";
    case EIO:
      return "; check the disk (kernel log)";
    default:
      return "";
  }
}

}  // namespace

absl::Status ErrnoStatus(int error, const char* operation, const std::string& path) {
  char buffer[128];
  const char* reason = strerror_r(error, buffer, sizeof(buffer));  // the GNU form: returns the text
  return absl::Status(CodeOf(error),
                      absl::StrCat(operation, " ", path, ": ", reason, RemedyOf(error)));
}

}  // namespace bascule::internal
