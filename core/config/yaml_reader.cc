#include "core/config/yaml_reader.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <exception>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace bascule::config {
namespace {

// Thrown through yaml-cpp's parser to stop it; caught in ReadYaml.
struct Refusal : std::exception {
  Refusal(int line_in, std::string text_in) : line(line_in), text(std::move(text_in)) {}
  int line;
  std::string text;
};

int LineOf(const YAML::Mark& mark) { return mark.line + 1; }

// Builds the tree while yaml-cpp walks the text. `open_` is the path from the root to the node
// being filled; a pointer in it stays valid because only the last node of the path ever grows.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(Value& root, bool with_lines) : root_(root), with_lines_(with_lines) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ > 0)
      throw Refusal(LineOf(mark), "a second YAML document starts here; keep one per file");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    RefuseExtras(mark, "", anchor);
    if (AwaitsKey()) throw Refusal(LineOf(mark), "a setting without a name; write \"name: value\"");
    Place(mark, Value::Shape::kEmpty);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw Refusal(LineOf(mark), "YAML aliases (*name) are not allowed here; write the value out");
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    RefuseExtras(mark, tag, anchor);
    if (AwaitsKey()) {
      if (text.size() > kMaxConfigKeyBytes)
        throw Refusal(LineOf(mark), absl::StrCat("a name of ", text.size(),
                                                 " bytes: ", Quoted(text), " is no setting"));
      open_.back()->entries.push_back({text, KeptLine(mark), Value()});
      key_pending_ = true;
      return;
    }
    Place(mark, Value::Shape::kText)->text = text;
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, Value::Shape::kList);
  }
  void OnSequenceEnd() override { open_.pop_back(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, Value::Shape::kSection);
  }
  void OnMapEnd() override { open_.pop_back(); }

 private:
  // In a section, names and values take turns.
  bool AwaitsKey() const {
    return !open_.empty() && open_.back()->shape == Value::Shape::kSection && !key_pending_;
  }

  void RefuseExtras(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor)
      throw Refusal(LineOf(mark), "YAML anchors (&name) are not allowed here; remove it");
    // "?" is what yaml-cpp calls plain text, "!" quoted text.
    if (!tag.empty() && tag != "?" && tag != "!")
      throw Refusal(LineOf(mark),
                    absl::StrCat("YAML tags are not allowed here; remove ", Quoted(tag)));
  }

  void Open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            Value::Shape shape) {
    RefuseExtras(mark, tag, anchor);
    if (AwaitsKey())
      throw Refusal(LineOf(mark),
                    "a list or section stands where a setting's name belongs; is a closing bracket "
                    "missing?");
    if (open_.size() >= static_cast<size_t>(kMaxConfigDepth))
      throw Refusal(LineOf(mark), absl::StrCat("nested deeper than ", kMaxConfigDepth, " levels"));
    open_.push_back(Place(mark, shape));
  }

  Value* Place(const YAML::Mark& mark, Value::Shape shape) {
    Value* value = &root_;
    if (!open_.empty() && open_.back()->shape == Value::Shape::kSection) {
      value = &open_.back()->entries.back().value;
      key_pending_ = false;
    } else if (!open_.empty()) {
      value = &open_.back()->items.emplace_back();
    }
    value->shape = shape;
    value->line = KeptLine(mark);
    return value;
  }

  int KeptLine(const YAML::Mark& mark) const { return with_lines_ ? LineOf(mark) : 0; }

  Value& root_;
  const bool with_lines_;
  std::vector<Value*> open_;
  bool key_pending_ = false;
  int documents_ = 0;
};

// The line of the first byte that no text file has, 0 when there is none. Checked first because
// yaml-cpp guesses encodings from such bytes.
int FirstBinaryLine(absl::string_view text) {
  int line = 1;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == '\n') ++line;
    const bool text_byte = byte >= 0x20 || byte == '\t' || byte == '\n' || byte == '\r';
    if (!text_byte || byte == 0x7f) return line;
  }
  return 0;
}

bool LineStartsWithTab(absl::string_view text, int line) {
  size_t start = 0;
  for (int i = 1; i < line && start != absl::string_view::npos; ++i) {
    start = text.find('\n', start);
    if (start != absl::string_view::npos) ++start;
  }
  if (start == absl::string_view::npos) return false;
  const size_t first = text.find_first_not_of(' ', start);
  return first != absl::string_view::npos && text[first] == '\t';
}

// yaml-cpp names the construct it tripped over; the user needs the likely cause.
absl::string_view Hint(absl::string_view text, int line, absl::string_view message) {
  if (LineStartsWithTab(text, line)) return " (the line is indented with a tab; use spaces)";
  if (message == YAML::ErrorMsg::MAP_VALUE || message == YAML::ErrorMsg::END_OF_MAP)
    return " (check the indentation, and quote a value that holds \": \")";
  return "";
}

}  // namespace

bool ReadYaml(absl::string_view text, const std::string& source, bool with_lines, Value& root,
              Faults& faults) {
  const auto refuse = [&](int line, std::string what) {
    faults.Add({source, with_lines ? std::max(line, 1) : 0}, std::move(what));
    return false;
  };
  if (text.size() > kMaxConfigBytes)
    return refuse(1, absl::StrCat("the file has ", text.size(),
                                  " bytes; a configuration has at most ", kMaxConfigBytes));
  if (const int line = FirstBinaryLine(text); line > 0)
    return refuse(line, "not a text file: a control character stands here");
  root = Value();
  try {
    std::istringstream in{std::string(text)};
    YAML::Parser parser(in);
    TreeBuilder builder(root, with_lines);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Refusal& refusal) {
    return refuse(refusal.line, refusal.text);
  } catch (const YAML::Exception& error) {
    const int line = LineOf(error.mark);
    return refuse(line, absl::StrCat("not valid YAML: ", error.msg, Hint(text, line, error.msg)));
  } catch (const std::exception& error) {
    return refuse(1, absl::StrCat("not valid YAML: ", error.what()));
  }
  return true;
}

}  // namespace bascule::config
