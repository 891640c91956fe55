#include "nats_bridge/bus_message.h"

namespace bascule::nats {

bool IsPublishableSubject(std::string_view subject) {
  bool token_open = false;
  for (const char c : subject) {
    if (c == '.') {
      if (!token_open) return false;
      token_open = false;
      continue;
    }
    if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f) return false;
    token_open = true;
  }
  return token_open;
}

}  // namespace bascule::nats
