// The tree under test as text: every file of the project, whole and with comments and literals
// blanked out.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bascule::tidy {

// What a rule found: "path:line: what is wrong and what to do".
using Complaints = std::vector<std::string>;

inline bool IsWordChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

inline std::vector<std::string_view> SplitLines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    size_t end = text.find('\n');
    lines.push_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return lines;
}

// Length of the literal or comment that begins at `i`, 0 when none does.
inline size_t SkippedLength(std::string_view text, size_t i) {
  auto until = [&](std::string_view end, size_t from) {
    size_t found = text.find(end, from);
    return (found == std::string_view::npos ? text.size() : found + end.size()) - i;
  };
  std::string_view rest = text.substr(i);
  if (rest.starts_with("//")) return std::min(text.find('\n', i), text.size()) - i;
  if (rest.starts_with("/*")) return until("*/", i + 2);
  if (rest.starts_with("R\"") && (i == 0 || !IsWordChar(text[i - 1]))) {
    size_t open = text.find('(', i);
    if (open == std::string_view::npos) return rest.size();
    std::string end = ")" + std::string(text.substr(i + 2, open - i - 2)) + "\"";
    return until(end, open);
  }
  // An apostrophe between digits separates thousands.
  if (text[i] != '"' && (text[i] != '\'' || (i > 0 && IsWordChar(text[i - 1])))) return 0;
  size_t end = i + 1;
  while (end < text.size() && text[end] != text[i] && text[end] != '\n') {
    end += text[end] == '\\' ? 2 : 1;
  }
  return std::min(end + 1, text.size()) - i;
}

// The same text with comments and the inside of literals as blanks; lines and columns stay where
// they are. Preprocessor lines other than #include lose their braces, so that a macro's halves do
// not upset the counting.
inline std::string BlankedCode(std::string_view text) {
  std::string code(text);
  for (size_t i = 0; i < text.size();) {
    size_t skip = SkippedLength(text, i);
    bool include =
        skip > 0 && text[i] == '"' && text.substr(text.rfind('\n', i) + 1).starts_with("#include");
    if (include) {
      i += skip;
      continue;
    }
    for (size_t k = i; k < i + skip; ++k) {
      if (code[k] != '\n') code[k] = ' ';
    }
    i += std::max<size_t>(skip, 1);
  }
  bool directive = false;
  for (size_t begin = 0; begin < code.size();) {
    size_t end = std::min(code.find('\n', begin), code.size());
    directive = directive || code[begin] == '#';
    bool goes_on = end > begin && code[end - 1] == '\\';
    for (size_t k = begin; directive && k < end; ++k) {
      if (std::string_view("{}();").find(code[k]) != std::string_view::npos) code[k] = ' ';
    }
    directive = directive && goes_on;
    begin = end + 1;
  }
  return code;
}

struct Source {
  Source(std::string path_in, std::string text_in)
      : path(std::move(path_in)), text(std::move(text_in)), lines(SplitLines(text)) {
    if (IsCpp()) code = BlankedCode(text);
    code_lines = SplitLines(code);
  }
  Source(const Source&) = delete;
  Source(Source&&) = delete;

  bool Ends(std::string_view suffix) const { return path.ends_with(suffix); }
  bool In(std::string_view folder) const {
    return path == folder || (path.starts_with(folder) && path[folder.size()] == '/');
  }
  bool IsHeader() const { return Ends(".h"); }
  bool IsCpp() const { return Ends(".h") || Ends(".cc") || Ends(".c"); }
  bool IsShell() const {
    return Ends(".sh") || (text.starts_with("#!") &&
                           text.substr(0, text.find('\n')).find("sh") != std::string::npos);
  }
  bool IsCMake() const { return Ends(".cmake") || Ends("CMakeLists.txt"); }
  bool IsProduct() const {
    return In("core") || In("nats_bridge") || In("replication") || In("cmd");
  }
  std::string At(size_t index) const { return path + ":" + std::to_string(index + 1) + ": "; }

  std::string path;  // from the project's root, with slashes
  std::string text;
  std::vector<std::string_view> lines;
  std::string code;  // BlankedCode of C and C++, empty for other files
  std::vector<std::string_view> code_lines;
};

// By reference where it is used: a Source points into itself.
using Tree = std::vector<std::unique_ptr<Source>>;

// The project's files by git, new ones included; by walking where there is no git or it refuses.
inline std::vector<std::string> ListFiles(const std::string& root) {
  std::vector<std::string> paths;
  std::string command =
      "git -C '" + root + "' ls-files --cached --others --exclude-standard 2>/dev/null";
  if (FILE* out = popen(command.c_str(), "r")) {
    std::string line;
    for (int c = std::fgetc(out); c != EOF; c = std::fgetc(out)) {
      if (c != '\n') {
        line.push_back(static_cast<char>(c));
        continue;
      }
      paths.push_back(line);
      line.clear();
    }
    if (pclose(out) == 0 && !paths.empty()) return paths;
  }
  paths.clear();
  namespace fs = std::filesystem;
  for (auto it = fs::recursive_directory_iterator(root); it != fs::recursive_directory_iterator();
       ++it) {
    std::string path = it->path().lexically_relative(root).generic_string();
    if (path == "build" || path == ".git" || path == ".cache") {
      it.disable_recursion_pending();
    } else if (it->is_regular_file()) {
      paths.push_back(path);
    }
  }
  return paths;
}

// Binary files (golden bytes, corpora) are left out.
inline Tree ReadTree(const std::string& root) {
  Tree tree;
  std::vector<std::string> paths = ListFiles(root);
  std::sort(paths.begin(), paths.end());
  for (const std::string& path : paths) {
    std::ifstream in(root + "/" + path, std::ios::binary);
    if (!in || std::filesystem::is_directory(root + "/" + path) ||
        path.starts_with("tests/fuzz/corpus/"))
      continue;
    std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    if (text.find('\0') != std::string::npos) continue;
    tree.push_back(std::make_unique<Source>(path, std::move(text)));
  }
  return tree;
}

}  // namespace bascule::tidy
