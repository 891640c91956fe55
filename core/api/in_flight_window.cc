#include "core/api/in_flight_window.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "core/base/check.h"

namespace bascule::api {
namespace {

constexpr size_t kPlaceDigits = 8;
constexpr size_t kSecretDigits = 16;
static_assert(kPlaceDigits + kSecretDigits == InFlightWindow::kIdBytes);

void AppendHex(std::string& out, uint64_t number, size_t digits) {
  for (size_t i = digits; i > 0; --i) out.push_back("0123456789abcdef"[number >> 4 * (i - 1) & 15]);
}

template <typename T>
bool ReadHex(std::string_view digits, T& out) {
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out, 16);
  return error == std::errc() && end == digits.data() + digits.size();
}

}  // namespace

InFlightWindow::InFlightWindow(Rng& rng, size_t max_count, size_t max_bytes)
    : rng_(rng),
      max_count_(max_count),
      max_bytes_(max_bytes),
      max_aged_(std::min(max_count, kMaxAged)) {}

std::string_view InFlightWindow::Add(MonotonicTime now, size_t bytes, Request request) {
  const uint32_t at = TakePlace();
  places_[at].time = now;
  places_[at].bytes = bytes;
  Append(at, State::kWaiting);
  return Lend(at, std::move(request));
}

std::string_view InFlightWindow::AddUnawaited(Request request) {
  const uint32_t at = TakePlace();
  const std::string_view id = Lend(at, std::move(request));
  Age(at);
  return id;
}

std::string_view InFlightWindow::Lend(uint32_t at, Request request) {
  Place& place = places_[at];
  place.request = std::move(request);
  place.secret = rng_.Next();
  id_.clear();
  AppendHex(id_, at, kPlaceDigits);
  AppendHex(id_, place.secret, kSecretDigits);
  return id_;
}

const InFlightWindow::Request* InFlightWindow::Find(std::string_view id) const {
  const uint32_t at = PlaceOf(id);
  return at == kNone ? nullptr : &places_[at].request;
}

InFlightWindow::Request InFlightWindow::Release(std::string_view id) {
  const uint32_t at = PlaceOf(id);
  if (at == kNone) return {};
  Request request = std::move(places_[at].request);
  Free(at);
  return request;
}

void InFlightWindow::Expire(MonotonicTime now) {
  while (waiting_.count > 0 && Between(places_[waiting_.oldest].time, now) >= kAge) {
    const uint32_t at = waiting_.oldest;
    Unlink(at);
    Age(at);
  }
}

void InFlightWindow::Age(uint32_t at) {
  places_[at].bytes = places_[at].request.correlation_id.size();
  Append(at, State::kAged);
  while (aged_.count > max_aged_ || (aged_.bytes > max_bytes_ && aged_.count > 1)) {
    Free(aged_.oldest);
  }
}

MonotonicTime InFlightWindow::NextExpiry() const {
  BASCULE_CHECK(waiting_.count > 0);
  return bascule::Add(places_[waiting_.oldest].time, kAge);
}

void InFlightWindow::Append(uint32_t at, State state) {
  List& list = ListOf(state);
  Place& place = places_[at];
  place.state = state;
  place.older = list.newest;
  place.newer = kNone;
  (list.newest == kNone ? list.oldest : places_[list.newest].newer) = at;
  list.newest = at;
  ++list.count;
  list.bytes += place.bytes;
}

void InFlightWindow::Unlink(uint32_t at) {
  Place& place = places_[at];
  List& list = ListOf(place.state);
  (place.older == kNone ? list.oldest : places_[place.older].newer) = place.newer;
  (place.newer == kNone ? list.newest : places_[place.newer].older) = place.older;
  --list.count;
  list.bytes -= place.bytes;
}

void InFlightWindow::Free(uint32_t at) {
  Unlink(at);
  places_[at].state = State::kFree;
  places_[at].request = Request();
  free_.push_back(at);
}

uint32_t InFlightWindow::TakePlace() {
  if (free_.empty()) {
    BASCULE_CHECK(places_.size() < kNone);
    places_.emplace_back();
    return static_cast<uint32_t>(places_.size() - 1);
  }
  const uint32_t at = free_.back();
  free_.pop_back();
  return at;
}

uint32_t InFlightWindow::PlaceOf(std::string_view id) const {
  uint32_t at = 0;
  uint64_t secret = 0;
  if (id.size() != kIdBytes || !ReadHex(id.substr(0, kPlaceDigits), at) ||
      !ReadHex(id.substr(kPlaceDigits), secret)) {
    return kNone;
  }
  const bool known =
      at < places_.size() && places_[at].state != State::kFree && places_[at].secret == secret;
  return known ? at : kNone;
}

}  // namespace bascule::api
