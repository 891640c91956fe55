// absl::Status is the type of every error the world causes; its codes are the API's codes. These
// macros pass errors up unchanged.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define BASCULE_STATUS_CONCAT_INNER(a, b) a##b
#define BASCULE_STATUS_CONCAT(a, b) BASCULE_STATUS_CONCAT_INNER(a, b)

#define RETURN_IF_ERROR(expr)                        \
  do {                                               \
    ::absl::Status status_of_expr = (expr);          \
    if (!status_of_expr.ok()) return status_of_expr; \
  } while (false)

#define ASSIGN_OR_RETURN(lhs, expr) \
  ASSIGN_OR_RETURN_IMPL(BASCULE_STATUS_CONCAT(status_or_, __LINE__), lhs, expr)
#define ASSIGN_OR_RETURN_IMPL(result, lhs, expr)       \
  auto result = (expr);                                \
  if (!result.ok()) return std::move(result).status(); \
  lhs = std::move(result).value()
