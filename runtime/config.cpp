#include "runtime/config.hpp"
#include <yaml-cpp/yaml.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <numeric>
#include <set>
#include <system_error>

namespace roost {

namespace {

/// One value, freed of yaml-cpp, whose nodes change while they are read and so cannot be shared.
struct node {
  enum class form { null, scalar, list, map };

  form form = form::null;
  bool quoted = false;             // a quoted scalar is text, whatever it looks like
  std::string text;                // of a scalar
  std::vector<std::string> names;  // of a map, one for each child
  std::vector<node> children;      // of a map or a list
  std::string where;               // the line of its key, which is where a reader looks first
};

// ----------------------------------------------------------------------------------- sentences

config_error failure(
    const std::string& subject, std::string_view expectation, const std::string& got,
    const std::string& where) {
  auto sentence = "expected " + subject + " to be " + std::string(expectation) + ", got " + got;
  return config_error(where.empty() ? sentence : sentence + " (" + where + ")");
}

// Error texts end in logs and tickets, where a secret has no place.
bool looks_secret(std::string_view key) {
  auto name = key.substr(key.rfind('.') + 1);
  constexpr std::array words{"password", "secret", "token", "cookie", "private"};
  return std::ranges::any_of(words, [&](auto word) { return name.find(word) != name.npos; });
}

std::string quoted_if_needed(std::string_view text) {
  constexpr std::size_t longest = 60;
  auto shown = std::string(text.substr(0, std::min(text.find('\n'), longest)));
  if (shown.size() < text.size()) shown += "…";
  bool plain = !shown.empty() && shown.find_first_of(" \t\r\"") == std::string::npos;
  return plain ? shown : '"' + shown + '"';
}

std::string describe(const node* value, std::string_view key) {
  if (!value) return "nothing";
  switch (value->form) {
    case node::form::null:
      return "nothing";
    case node::form::list:
      return "a list";
    case node::form::map:
      return "a section";
    case node::form::scalar:
      break;
  }
  return looks_secret(key) ? "[FILTERED]" : quoted_if_needed(value->text);
}

std::string describe_range(std::int64_t min, std::int64_t max) {
  auto low = std::to_string(min);
  auto high = std::to_string(max);
  if (max == std::numeric_limits<std::int64_t>::max())
    return min == std::numeric_limits<std::int64_t>::min() ? "a whole number" : "at least " + low;
  return min < 0 ? "between " + low + " and " + high : low + "–" + high;
}

std::string join(std::string_view prefix, std::string_view key) {
  if (prefix.empty() || key.empty()) return std::string(prefix.empty() ? key : prefix);
  return std::string(prefix) + '.' + std::string(key);
}

// ------------------------------------------------------------------------------------- scalars

template <class Number>
bool parse_number(std::string_view text, Number& number, std::string_view* rest = nullptr) {
  if (text.starts_with('+')) text.remove_prefix(1);
  // from_chars takes inf and nan for numbers; a configuration that says "nan" means a text.
  auto digits = text.substr(text.starts_with('-') ? 1 : 0);
  if (digits.empty() || !(digits[0] == '.' || (digits[0] >= '0' && digits[0] <= '9'))) return false;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  auto left = text.substr(static_cast<std::size_t>(end - text.data()));
  if (rest) *rest = left;
  return error == std::errc() && (rest || left.empty());
}

bool parse_bool(std::string_view text, bool& value) {
  value = text == "true" || text == "True" || text == "TRUE";
  return value || text == "false" || text == "False" || text == "FALSE";
}

struct unit {
  std::string_view name;
  double factor;
};

constexpr std::array duration_units{unit{"", 1},     unit{"ms", 1},     unit{"s", 1e3},
                                    unit{"m", 60e3}, unit{"h", 3600e3}, unit{"d", 86400e3}};
constexpr std::array size_units{unit{"", 1},         unit{"b", 1},        unit{"kb", 1e3},
                                unit{"mb", 1e6},     unit{"gb", 1e9},     unit{"tb", 1e12},
                                unit{"kib", 0x1p10}, unit{"mib", 0x1p20}, unit{"gib", 0x1p30},
                                unit{"tib", 0x1p40}};

std::string lower(std::string_view text) {
  std::string result(text);
  for (auto& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return result;
}

/// Reads "1.5 MiB" with one of the units; rounds up, so that a small value never becomes zero.
template <std::size_t N>
bool parse_quantity(std::string_view text, const std::array<unit, N>& units, double& amount) {
  std::string_view rest;
  if (!parse_number(text, amount, &rest) || amount < 0) return false;
  rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  auto found = std::ranges::find(units, lower(rest), &unit::name);
  if (found == units.end()) return false;
  amount = std::ceil(amount * found->factor);
  return amount < 9e15;  // beyond, a double no longer holds every whole number
}

std::vector<std::string> split_at_commas(std::string_view text) {
  std::vector<std::string> items;
  while (!text.empty()) {
    auto comma = std::min(text.find(','), text.size());
    auto item = text.substr(0, comma);
    text.remove_prefix(std::min(comma + 1, text.size()));
    auto first = item.find_first_not_of(' ');
    if (first == item.npos) continue;
    items.emplace_back(item.substr(first, item.find_last_not_of(' ') + 1 - first));
  }
  return items;
}

// ------------------------------------------------------------------------ environment variables

bool is_variable_name(std::string_view name) {
  constexpr std::string_view allowed =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
  return !name.empty() && name.find_first_not_of(allowed) == name.npos &&
         !(name[0] >= '0' && name[0] <= '9');
}

config_error not_a_variable(std::string_view text, const std::string& where) {
  return failure("a variable", "${NAME} or ${NAME:default}", quoted_if_needed(text), where);
}

/// The value for the inside of `${…}`.
std::string variable(std::string_view inside, const std::string& where) {
  auto colon = inside.find(':');
  auto name = std::string(inside.substr(0, colon));
  if (!is_variable_name(name)) throw not_a_variable("${" + std::string(inside) + "}", where);
  if (const char* value = std::getenv(name.c_str()); value && *value) return value;
  if (colon == inside.npos) throw failure("environment variable " + name, "set", "nothing", where);
  auto fallback = inside.substr(colon + 1);
  return std::string(fallback.substr(fallback.starts_with('-') ? 1 : 0));
}

std::string expand(std::string_view text, const std::string& where) {
  std::string result;
  for (auto open = text.find("${"); open != text.npos; open = text.find("${")) {
    if (open > 0 && text[open - 1] == '$') {
      result.append(text.substr(0, open)).append("{");
      text.remove_prefix(open + 2);
      continue;
    }
    auto close = text.find('}', open);
    if (close == text.npos) throw not_a_variable(text.substr(open), where);
    result.append(text.substr(0, open));
    result += variable(text.substr(open + 2, close - open - 2), where);
    text.remove_prefix(close + 1);
  }
  return result.append(text);
}

void expand_variables(node& value, config_variables policy = config_variables::required) {
  for (auto& child : value.children) expand_variables(child, policy);
  if (value.form != node::form::scalar) return;
  try {
    value.text = expand(value.text, value.where);
  } catch (const config_error&) {
    if (policy == config_variables::required) throw;
    value.form = node::form::null;
  }
}

// ---------------------------------------------------------------------------------------- YAML

/// Turns one parsed document into nodes.
class reader {
 public:
  reader(std::string name, bool has_lines) : name_(std::move(name)), has_lines_(has_lines) {}

  node read(const std::string& text) {
    try {
      auto documents = YAML::LoadAll(text);
      if (documents.size() > 1)
        throw failure(name_, "one YAML document", std::to_string(documents.size()), "");
      return documents.empty() ? node{} : convert(documents[0], 0);
    } catch (const YAML::Exception& error) {
      throw failure(
          has_lines_ ? name_ : "the value", "valid YAML", '"' + error.msg + '"', place(error.mark));
    }
  }

 private:
  std::string place(const YAML::Mark& mark) const {
    return has_lines_ && !mark.is_null() ? name_ + ':' + std::to_string(mark.line + 1) : name_;
  }

  node convert(const YAML::Node& yaml, int depth) {
    // Aliases can make a short text endless or huge.
    if (depth > 64 || ++count_ > 100'000)
      throw failure(name_, "at most 64 levels and 100000 values", "more", place(yaml.Mark()));
    node result;
    result.where = place(yaml.Mark());
    if (yaml.IsScalar()) convert_scalar(yaml, result);
    if (yaml.IsSequence()) convert_list(yaml, result, depth);
    if (yaml.IsMap()) convert_map(yaml, result, depth);
    return result;
  }

  static void convert_scalar(const YAML::Node& yaml, node& result) {
    result.form = node::form::scalar;
    result.text = yaml.Scalar();
    result.quoted = yaml.Tag() == "!" || yaml.Tag() == "tag:yaml.org,2002:str";
  }

  void convert_list(const YAML::Node& yaml, node& result, int depth) {
    result.form = node::form::list;
    for (const auto& item : yaml) result.children.push_back(convert(item, depth + 1));
  }

  void convert_map(const YAML::Node& yaml, node& result, int depth) {
    result.form = node::form::map;
    std::set<std::string> seen;
    for (const auto& entry : yaml) {
      auto where = place(entry.first.Mark());
      if (!entry.first.IsScalar()) throw failure("a key", "text", "a list or a map", where);
      const auto& name = entry.first.Scalar();
      // yaml-cpp keeps both and answers the first; whoever wrote the second would search long.
      if (!seen.insert(name).second)
        throw failure("key " + name, "written once", "a second one", where);
      result.names.push_back(name);
      result.children.push_back(convert(entry.second, depth + 1));
      result.children.back().where = where;
    }
  }

  std::string name_;
  bool has_lines_;
  int count_ = 0;
};

std::string read_file(const std::string& path) {
  auto unreadable = [&] {
    auto reason = '"' + std::generic_category().message(errno) + '"';
    return failure(path, "a readable file", reason, "");
  };
  using file_ptr = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;
  file_ptr file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file) throw unreadable();
  std::string text;
  std::array<char, 4096> block;
  while (auto count = std::fread(block.data(), 1, block.size(), file.get()))
    text.append(block.data(), count);
  if (std::ferror(file.get())) throw unreadable();  // a directory opens, but does not read
  return text;
}

// ------------------------------------------------------------------------------------- lookups

/// The part of `key` below the child called `name`; a name may itself contain dots.
bool below(std::string_view key, std::string_view name, std::string_view& rest) {
  if (!key.starts_with(name) || key.size() <= name.size() || key[name.size()] != '.') return false;
  rest = key.substr(name.size() + 1);
  return true;
}

const node* item_of(const node& list, std::string_view key, std::string_view& rest) {
  auto dot = std::min(key.find('.'), key.size());
  std::size_t index = 0;
  if (!parse_number(key.substr(0, dot), index)) return nullptr;
  rest = key.substr(std::min(dot + 1, key.size()));
  return index < list.children.size() ? &list.children[index] : nullptr;
}

/// The value at `key`, or null. `full` is the whole key, of which `key` is the end.
const node* find(const node& from, std::string_view key, std::string_view full) {
  if (from.form == node::form::null) return nullptr;
  if (key.empty()) return &from;
  std::string_view rest;
  if (from.form == node::form::list) {
    const auto* item = item_of(from, key, rest);
    return item ? find(*item, rest, full) : nullptr;
  }
  if (from.form == node::form::scalar) {
    // A value where a section belongs would otherwise hide all the keys that are read below it.
    auto upper = std::string(full.substr(0, full.size() - key.size() - 1));
    throw failure(upper, "a section", describe(&from, upper), from.where);
  }
  for (std::size_t i = 0; i < from.names.size(); ++i)
    if (from.names[i] == key) return find(from.children[i], {}, full);
  for (std::size_t i = 0; i < from.names.size(); ++i)
    if (below(key, from.names[i], rest)) return find(from.children[i], rest, full);
  return nullptr;
}

node& child_called(node& map, std::string_view name, const std::string& where) {
  auto found = std::ranges::find(map.names, name);
  if (found != map.names.end())
    return map.children[static_cast<std::size_t>(found - map.names.begin())];
  map.names.emplace_back(name);
  map.children.emplace_back().where = where;
  return map.children.back();
}

/// The place to write `key` to, with the sections on its way.
node& place_for(node& root, std::string_view key, const std::string& where) {
  if (const auto* present = find(root, key, key)) return const_cast<node&>(*present);
  auto* at = &root;
  for (auto rest = key; !rest.empty();) {
    if (at->form == node::form::null) at->form = node::form::map;
    if (at->form == node::form::list)
      throw failure(std::string(key), "an item of the list", "no such item", where);
    auto dot = std::min(rest.find('.'), rest.size());
    at = &child_called(*at, rest.substr(0, dot), where);
    rest.remove_prefix(std::min(dot + 1, rest.size()));
  }
  return *at;
}

node parse_override(std::string_view assignment, std::string& key) {
  auto equals = assignment.find('=');
  key = assignment.substr(0, equals);
  if (key.empty() || equals == assignment.npos || key.front() == '.' || key.back() == '.' ||
      key.find("..") != key.npos)
    throw failure("--set", "dotted.key=value", quoted_if_needed(assignment), "");
  auto value = std::string(assignment.substr(equals + 1));
  auto where = "--set " + key + '=';
  where += looks_secret(key) ? "[FILTERED]" : quoted_if_needed(value);
  auto result = reader(where, false).read(value);
  result.where = where;
  return result;
}

// ----------------------------------------------------------------------------------- known keys

std::size_t distance(std::string_view from, std::string_view to) {
  std::vector<std::size_t> row(to.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (std::size_t i = 0; i < from.size(); ++i) {
    auto diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < to.size(); ++j) {
      auto replace = diagonal + (from[i] != to[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replace, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

std::string suggestion(std::string_view name, const std::vector<std::string>& candidates) {
  auto closest = std::ranges::min_element(
      candidates, {}, [&](const std::string& candidate) { return distance(name, candidate); });
  if (closest == candidates.end() || distance(name, *closest) > (name.size() + 2) / 3) return "";
  return "; did you mean " + *closest + "?";
}

struct unknown_key {
  std::string section;
  std::string name;
  std::string where;
};

using key_set = std::set<std::string, std::less<>>;

/// The keys that were read, in full. A key above a known one is a section, and so known as well.
struct known_keys {
  key_set read;
  key_set open;  // free-form sections

  bool contains(const std::string& key) const {
    if (read.contains(key) || open.contains(key)) return true;
    return has_below(read, key + '.') || has_below(open, key + '.');
  }

  static bool has_below(const key_set& keys, const std::string& prefix) {
    auto next = keys.lower_bound(prefix);
    return next != keys.end() && next->starts_with(prefix);
  }

  std::vector<std::string> names_in(const std::string& section) const {
    std::set<std::string> names;
    auto prefix = section.empty() ? section : section + '.';
    for (const auto* keys : {&read, &open})
      for (const auto& key : *keys)
        if (key.starts_with(prefix) && key.size() > prefix.size())
          names.insert(key.substr(prefix.size(), key.find('.', prefix.size()) - prefix.size()));
    return {names.begin(), names.end()};
  }

  void collect_unknown(
      const node& value, const std::string& path, std::vector<unknown_key>& unknown) const {
    if (open.contains(path)) return;
    bool in_map = value.form == node::form::map;
    for (std::size_t i = 0; i < value.children.size(); ++i) {
      auto name = in_map ? value.names[i] : std::to_string(i);
      auto key = join(path, name);
      if (in_map && !contains(key))
        unknown.push_back({path, name, value.children[i].where});
      else
        collect_unknown(value.children[i], key, unknown);
    }
  }

  config_error error(const unknown_key& key) const {
    auto candidates = names_in(key.section);
    std::string list;
    for (const auto& name : candidates) list += (list.empty() ? "" : ", ") + name;
    auto expected = candidates.empty() ? std::string("no key") : "one of " + list;
    auto level = key.section.empty() ? "at the top level" : "in section " + key.section;
    return config_error(
        "expected " + expected + ' ' + level + ", got " + key.name + " (" + key.where + ')' +
        suggestion(key.name, candidates));
  }
};

}  // namespace

// ------------------------------------------------------------------------------------- config

struct config::source {
  std::string name = "no configuration file";
  node root;
  mutable std::mutex mutex;  // guards `known`, the only part that reading changes
  known_keys known;

  const node* look_up(const std::string& key) {
    {
      std::lock_guard lock(mutex);
      known.read.insert(key);
    }
    return find(root, key, key);
  }

  const node* look_up_scalar(const std::string& key, std::string_view expectation) {
    const auto* value = look_up(key);
    if (value && value->form != node::form::scalar) throw error(key, expectation);
    return value;
  }

  void assign(std::string_view assignment) {
    std::string key;
    auto value = parse_override(assignment, key);
    place_for(root, key, value.where) = std::move(value);
  }

  std::vector<unknown_key> unknown_below(const std::string& path) const {
    std::vector<unknown_key> unknown;
    const auto* value = find(root, path, path);
    std::lock_guard lock(mutex);
    if (value) known.collect_unknown(*value, path, unknown);
    return unknown;
  }

  config_error error(const std::string& key, std::string_view expectation) const {
    const auto* value = find(root, key, key);
    return failure(key, expectation, describe(value, key), value ? value->where : name);
  }
};

config::config() : source_(std::make_shared<source>()) {}

config::config(std::shared_ptr<source> source, std::string prefix)
    : source_(std::move(source)), prefix_(std::move(prefix)) {}

config config::load_file(
    const std::string& path, const std::vector<std::string>& overrides,
    config_variables variables) {
  return from_text(read_file(path), path, overrides, variables);
}

config config::from_text(
    std::string_view text, std::string name, const std::vector<std::string>& overrides,
    config_variables variables) {
  config result;
  auto& source = *result.source_;
  source.name = std::move(name);
  source.root = reader(source.name, true).read(std::string(text));
  if (source.root.form == node::form::scalar || source.root.form == node::form::list)
    throw failure(source.name, "a map of keys", describe(&source.root, ""), source.root.where);
  for (const auto& assignment : overrides) source.assign(assignment);
  // Variables come last: an overridden value must not ask for a variable that nobody needs.
  expand_variables(source.root, variables);
  return result;
}

void config::apply_override(std::string_view assignment) {
  auto changed = std::make_shared<source>();
  changed->name = source_->name;
  changed->root = source_->root;
  {
    std::lock_guard lock(source_->mutex);
    changed->known = source_->known;
  }
  std::string key;
  auto value = parse_override(assignment, key);
  expand_variables(value);
  place_for(changed->root, full_key(key), value.where) = std::move(value);
  source_ = std::move(changed);
}

std::string config::full_key(std::string_view key) const { return join(prefix_, key); }

config_error config::error(std::string_view key, std::string_view expectation) const {
  return source_->error(full_key(key), expectation);
}

std::string config::where(std::string_view key) const {
  auto full = full_key(key);
  const auto* value = find(source_->root, full, full);
  return value ? value->where : source_->name;
}

config_kind config::kind(std::string_view key) const {
  const auto* value = source_->look_up(full_key(key));
  if (!value) return config_kind::absent;
  if (value->form == node::form::list) return config_kind::list;
  if (value->form == node::form::map) return config_kind::map;
  bool truth = false;
  double number = 0;
  if (value->quoted) return config_kind::text;
  if (parse_bool(value->text, truth)) return config_kind::boolean;
  return parse_number(value->text, number) ? config_kind::number : config_kind::text;
}

config config::section(std::string_view key) const {
  auto full = full_key(key);
  const auto* value = source_->look_up(full);
  if (value && value->form != node::form::map) throw error(key, "a section");
  return config(source_, std::move(full));
}

std::size_t config::size(std::string_view key) const {
  const auto* value = source_->look_up(full_key(key));
  if (value && value->form == node::form::scalar) throw error(key, "a list or a section");
  return value ? value->children.size() : 0;
}

std::vector<std::string> config::keys(std::string_view key) const {
  const auto* value = source_->look_up(full_key(key));
  if (value && value->form != node::form::map) throw error(key, "a section");
  return value ? value->names : std::vector<std::string>();
}

bool config::read_integer(
    std::string_view key, std::int64_t& value, std::int64_t min, std::int64_t max) const {
  auto range = describe_range(min, max);
  const auto* found = source_->look_up_scalar(full_key(key), range);
  if (!found) return false;
  std::int64_t number = 0;
  bool whole = parse_number(found->text, number);
  // The limits of an int say little to somebody who wrote a word.
  bool wide = max >= std::numeric_limits<std::int32_t>::max() && min < 0;
  if (!whole && wide) throw error(key, "a whole number");
  if (!whole || number < min || number > max) throw error(key, range);
  value = number;
  return true;
}

bool config::read(std::string_view key, bool& value) const {
  const auto* found = source_->look_up_scalar(full_key(key), "true or false");
  if (found && !parse_bool(found->text, value)) throw error(key, "true or false");
  return found;
}

bool config::read(std::string_view key, double& value) const {
  const auto* found = source_->look_up_scalar(full_key(key), "a number");
  if (found && !parse_number(found->text, value)) throw error(key, "a number");
  return found;
}

bool config::read(std::string_view key, std::string& value) const {
  const auto* found = source_->look_up_scalar(full_key(key), "text");
  if (found) value = found->text;
  return found;
}

bool config::read(std::string_view key, std::vector<std::string>& value) const {
  const auto* found = source_->look_up(full_key(key));
  if (!found) return false;
  if (found->form == node::form::map) throw error(key, "a list");
  if (found->form == node::form::scalar) {
    value = split_at_commas(found->text);
    return true;
  }
  for (std::size_t i = 0; i < found->children.size(); ++i) {
    const auto& item = found->children[i];
    if (item.form != node::form::scalar) throw error(join(key, std::to_string(i)), "text");
    value.push_back(item.text);
  }
  return true;
}

bool config::read(std::string_view key, std::chrono::milliseconds& value) const {
  constexpr auto expectation = "a duration such as 250ms, 5s, 1m, 2h or infinity";
  const auto* found = source_->look_up_scalar(full_key(key), expectation);
  if (!found) return false;
  double amount = 0;
  if (found->text == "infinity")
    value = std::chrono::milliseconds::max();
  else if (parse_quantity(found->text, duration_units, amount))
    value = std::chrono::milliseconds(static_cast<std::int64_t>(amount));
  else
    throw error(key, expectation);
  return true;
}

bool config::read(std::string_view key, byte_size& value) const {
  constexpr auto expectation = "a size such as 4096, 64KB or 1MiB";
  const auto* found = source_->look_up_scalar(full_key(key), expectation);
  if (!found) return false;
  double amount = 0;
  if (!parse_quantity(found->text, size_units, amount)) throw error(key, expectation);
  value.bytes = static_cast<std::uint64_t>(amount);
  return true;
}

void config::allow_section(std::string_view key) const {
  std::lock_guard lock(source_->mutex);
  source_->known.open.insert(full_key(key));
}

std::vector<std::string> config::unknown_keys() const {
  std::vector<std::string> keys;
  for (const auto& key : source_->unknown_below(prefix_))
    keys.push_back(join(key.section, key.name));
  return keys;
}

void config::check_unknown() const {
  auto unknown = source_->unknown_below(prefix_);
  if (unknown.empty()) return;
  std::lock_guard lock(source_->mutex);
  throw source_->known.error(unknown.front());
}

namespace {

config& current_config() {
  static config current;
  return current;
}

}  // namespace

const config& application_config() { return current_config(); }

void set_application_config(config config) { current_config() = std::move(config); }

}  // namespace roost
