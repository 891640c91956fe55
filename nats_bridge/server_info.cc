#include "nats_bridge/server_info.h"

#include <limits>

#include "core/base/text.h"
#include "nlohmann/json.hpp"

namespace bascule::nats {
namespace {

using nlohmann::json;

absl::Status WrongType(std::string_view name) {
  return absl::InvalidArgumentError(
      Concat("nats: the server's INFO has a \"", name, "\" that is not what it must be"));
}

absl::Status Read(const json& object, const char* name, std::string& out) {
  const auto found = object.find(name);
  if (found == object.end() || found->is_null()) return absl::OkStatus();
  if (!found->is_string()) return WrongType(name);
  out = found->get_ref<const std::string&>();
  return absl::OkStatus();
}

absl::Status Read(const json& object, const char* name, bool& out) {
  const auto found = object.find(name);
  if (found == object.end() || found->is_null()) return absl::OkStatus();
  if (!found->is_boolean()) return WrongType(name);
  out = found->get<bool>();
  return absl::OkStatus();
}

absl::Status Read(const json& object, const char* name, int64_t& out) {
  const auto found = object.find(name);
  if (found == object.end() || found->is_null()) return absl::OkStatus();
  if (!found->is_number_unsigned() ||
      found->get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
    return WrongType(name);
  out = found->get<int64_t>();
  return absl::OkStatus();
}

absl::Status Read(const json& object, const char* name, std::vector<std::string>& out) {
  const auto found = object.find(name);
  if (found == object.end() || found->is_null()) return absl::OkStatus();
  if (!found->is_array()) return WrongType(name);
  for (const json& item : *found) {
    if (!item.is_string()) return WrongType(name);
    out.push_back(item.get_ref<const std::string&>());
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ServerInfo> ParseServerInfo(std::string_view text) {
  // The parser takes a NUL for the end.
  if (text.find('\0') != std::string_view::npos)
    return absl::InvalidArgumentError("nats: the server's INFO holds a NUL");
  const json object = json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!object.is_object())
    return absl::InvalidArgumentError("nats: the server's INFO is no JSON object");
  ServerInfo out;
  RETURN_IF_ERROR(Read(object, "server_id", out.server_id));
  RETURN_IF_ERROR(Read(object, "server_name", out.server_name));
  RETURN_IF_ERROR(Read(object, "version", out.version));
  RETURN_IF_ERROR(Read(object, "nonce", out.nonce));
  RETURN_IF_ERROR(Read(object, "connect_urls", out.connect_urls));
  RETURN_IF_ERROR(Read(object, "max_payload", out.max_payload));
  RETURN_IF_ERROR(Read(object, "headers", out.headers));
  RETURN_IF_ERROR(Read(object, "auth_required", out.auth_required));
  RETURN_IF_ERROR(Read(object, "tls_required", out.tls_required));
  RETURN_IF_ERROR(Read(object, "tls_available", out.tls_available));
  RETURN_IF_ERROR(Read(object, "ldm", out.lame_duck));
  return out;
}

std::string ConnectLine(const ConnectFields& fields) {
  json object{{"verbose", false},  {"pedantic", false},      {"echo", true},
              {"lang", "bascule"}, {"version", "1"},         {"protocol", 1},
              {"headers", true},   {"no_responders", false}, {"tls_required", fields.tls}};
  const auto say = [&object](const char* name, const std::string& value) {
    if (!value.empty()) object[name] = value;
  };
  say("name", fields.name);
  say("user", fields.user);
  if (!fields.user.empty()) object["pass"] = fields.password;
  say("auth_token", fields.token);
  say("jwt", fields.jwt);
  say("nkey", fields.nkey);
  say("sig", fields.signature);
  return Concat("CONNECT ", object.dump(-1, ' ', false, json::error_handler_t::replace), "\r\n");
}

}  // namespace bascule::nats
