#include "cmd/bascule/message_printer.h"

#include <map>

#include "api.pb.h"
#include "cmd/bascule/format.h"
#include "cmd/bascule/json_output.h"
#include "cmd/bascule/text.h"

namespace bascule::cli {

void MessagePrinter::Print(std::ostream& out, const proto::Message& message) const {
  switch (format_) {
    case OutputFormat::kText:
      PrintText(out, message);
      return;
    case OutputFormat::kJson:
      out << MessageJson(message) << '\n';
      return;
    case OutputFormat::kRaw:
      out << message.value();
      if (newline_) out << '\n';
      return;
  }
}

// "42  2026-11-23T04:41:50.120Z  orders.eu  key=o-17  [source=web]  the value"
void MessagePrinter::PrintText(std::ostream& out, const proto::Message& message) const {
  static constexpr char kGap[] = "  ";
  out << message.offset() << kGap << FormatTime(Timestamp(message.timestamp()), Precision::kMillis)
      << kGap;
  if (message.subject() != stream_subject_) out << EscapeText(message.subject()) << kGap;
  if (!message.key().empty()) out << "key=" << EscapeText(message.key()) << kGap;
  std::string headers;
  const std::map<std::string, std::string> sorted(message.headers().begin(),
                                                  message.headers().end());
  for (const auto& [name, value] : sorted) {
    // The server's own: subject and reply of the NATS message.
    if (name == "subject" || name == "reply") continue;
    headers += (headers.empty() ? "" : " ") + EscapeText(name) + "=" + EscapeText(value);
  }
  if (!headers.empty()) out << '[' << headers << ']' << kGap;
  out << EscapeText(message.value()) << '\n';
}

}  // namespace bascule::cli
