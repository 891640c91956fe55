// Settings in protobuf messages whose fields bear the rows' numbers. This layer knows no protobuf:
// these are templates over what a message says of itself, instantiated by those who know it.
#pragma once

#include <cstdint>
#include <optional>
#include <type_traits>

#include "core/base/check.h"
#include "core/stream/settings.h"

namespace bascule {

// Choices count from 1 in an enum: 0 is "unspecified" there.
template <typename Message>
void PutSetting(const StreamSetting& row, int64_t value, Message& out) {
  const auto* field = out.GetDescriptor()->FindFieldByNumber(row.number);
  BASCULE_CHECK(field != nullptr);  // a row without its field: no input leads here
  using Field = std::remove_cvref_t<decltype(*field)>;
  const auto* reflection = out.GetReflection();
  switch (field->cpp_type()) {
    case Field::CPPTYPE_INT64:
      return reflection->SetInt64(&out, field, value);
    case Field::CPPTYPE_INT32:
      return reflection->SetInt32(&out, field, static_cast<int32_t>(value));
    case Field::CPPTYPE_BOOL:
      return reflection->SetBool(&out, field, value != 0);
    default:
      BASCULE_CHECK(field->cpp_type() == Field::CPPTYPE_ENUM);
      reflection->SetEnumValue(&out, field, static_cast<int>(value) + 1);
  }
}

// The value, as it came; nullopt where none is set.
template <typename Message>
std::optional<int64_t> TakeSetting(const StreamSetting& row, const Message& in) {
  const auto* field = in.GetDescriptor()->FindFieldByNumber(row.number);
  BASCULE_CHECK(field != nullptr);
  using Field = std::remove_cvref_t<decltype(*field)>;
  const auto* reflection = in.GetReflection();
  if (!reflection->HasField(in, field)) return std::nullopt;
  switch (field->cpp_type()) {
    case Field::CPPTYPE_INT64:
      return reflection->GetInt64(in, field);
    case Field::CPPTYPE_INT32:
      return reflection->GetInt32(in, field);
    case Field::CPPTYPE_BOOL:
      return reflection->GetBool(in, field) ? 1 : 0;
    default:
      BASCULE_CHECK(field->cpp_type() == Field::CPPTYPE_ENUM);
      return int64_t{reflection->GetEnumValue(in, field)} - 1;
  }
}

template <typename Message>
void PutOverrides(const StreamOverrides& overrides, Message& out) {
  for (const StreamSetting& row : kStreamSettings)
    if (const auto value = row.asked(overrides)) PutSetting(row, *value, out);
}

}  // namespace bascule
