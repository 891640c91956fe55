#include "core/base/check.h"
#include "core/wire/batch.h"

namespace bascule::wire {
namespace {

enum GapField : uint32_t { kFrom = 1, kTo = 2, kReason = 3, kCountPlusOne = 4 };

// As protobuf: zero is left away, so an unknown count (-1) takes no byte.
void AppendNonZero(std::string& out, GapField field, uint64_t value) {
  if (value != 0) AppendVarintField(out, field, value);
}

bool ParseGap(std::string_view in, GapRecord& gap) {
  Field field;
  while (!in.empty()) {
    if (!TakeField(in, field, kMaxNesting - 1)) return false;
    if (field.type != kVarint) continue;
    if (field.field == kFrom) gap.from = Timestamp(static_cast<int64_t>(field.number));
    if (field.field == kTo) gap.to = Timestamp(static_cast<int64_t>(field.number));
    if (field.field == kReason) gap.reason = static_cast<uint32_t>(field.number);
    if (field.field == kCountPlusOne) gap.count = static_cast<int64_t>(field.number - 1);
  }
  return true;
}

}  // namespace

std::string EncodeGapBody(const GapRecord& gap) {
  BASCULE_CHECK_GE(gap.count, -1);
  std::string fields;
  AppendNonZero(fields, kFrom, static_cast<uint64_t>(gap.from.value()));
  AppendNonZero(fields, kTo, static_cast<uint64_t>(gap.to.value()));
  AppendNonZero(fields, kReason, gap.reason);
  AppendNonZero(fields, kCountPlusOne, static_cast<uint64_t>(gap.count) + 1);
  std::string body;
  AppendBytesField(body, kGapField, fields);
  return body;
}

bool ParseGapBody(std::string_view body, GapRecord& gap) {
  bool found = false;
  Field field;
  while (!body.empty()) {
    if (!TakeField(body, field)) return false;
    if (field.field != kGapField || field.type != kLengthDelimited) continue;
    gap = GapRecord();
    if (!ParseGap(field.bytes, gap)) return false;
    found = true;
  }
  return found;
}

}  // namespace bascule::wire
