// Messages in the form that --format asks for. Pure.
#pragma once

#include <ostream>
#include <string>

#include "cmd/bascule/options.h"

namespace proto {
class Message;
}

namespace bascule::cli {

class MessagePrinter {
 public:
  // `stream_subject`: a message's own subject is shown in text only when it differs. `newline`:
  // after raw values.
  MessagePrinter(OutputFormat format, std::string stream_subject, bool newline)
      : format_(format), stream_subject_(std::move(stream_subject)), newline_(newline) {}
  void Print(std::ostream& out, const proto::Message& message) const;

 private:
  void PrintText(std::ostream& out, const proto::Message& message) const;

  const OutputFormat format_;
  const std::string stream_subject_;
  const bool newline_;
};

}  // namespace bascule::cli
