// Lua is compiled as C, and leaves functions by longjmp. So nothing with a destructor lives in a
// function while it calls what may raise an error; values on their way are members of the state.
#include "operations/shell/lua_engine.hpp"
#include <lua5.4/lua.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>

namespace roost::detail {
namespace {

using clock = std::chrono::steady_clock;

constexpr int look_every = 10'000;  // instructions
constexpr int deepest = 64;         // tables within tables
constexpr std::size_t most_orders = 1'000;
constexpr std::size_t no_order = ~std::size_t{0};

// In the metatable of a table that came as JSON: which fields it had, in which order.
constexpr auto order_field = "__order";

}  // namespace

struct lua_engine::state {
  explicit state(limits given, const lua_engine& owner) : limit(given), engine(owner) {}

  limits limit;
  const lua_engine& engine;
  lua_State* lua = nullptr;
  std::size_t used = 0;
  clock::time_point deadline = clock::time_point::max();
  std::deque<function> functions;
  std::function<void(const std::string&)> print = [](const std::string& line) {
    std::printf("%s\n", line.c_str());
  };
  std::vector<std::vector<std::string>> orders;  // of the fields of tables that came as JSON
  std::map<std::string, std::size_t> order_of;   // by their names, joined
  json passing;                                  // on its way into or out of Lua
  std::string error;                             // … and what went wrong there

  bool over() const { return engine.interrupted_.load() || clock::now() > deadline; }
  const char* why() const {
    return engine.interrupted_.load() ? "interrupted" : "it took longer than the time limit";
  }

  static state& of(lua_State* lua) { return **static_cast<state**>(lua_getextraspace(lua)); }

  static void* allocate(void* self, void* block, std::size_t old_size, std::size_t size) {
    auto& me = *static_cast<state*>(self);
    auto before = block != nullptr ? old_size : 0;
    if (size == 0) {
      std::free(block);
      me.used -= before;
      return nullptr;
    }
    if (size > before && me.used + (size - before) > me.limit.memory) return nullptr;
    void* fresh = std::realloc(block, size);
    if (fresh != nullptr) me.used = me.used - before + size;
    return fresh;
  }

  static void look(lua_State* lua, lua_Debug*) {
    auto& me = of(lua);
    if (!me.over()) return;
    // From now on at every instruction, so that no pcall of the code's own lets it go on.
    lua_sethook(lua, look, LUA_MASKCOUNT, 1);
    luaL_error(lua, "%s", me.why());
  }

  static int call_function(lua_State* lua);
  static int print_line(lua_State* lua);
  static int inspect(lua_State* lua);
  static int load_text(lua_State* lua);
  static int set_metatable(lua_State* lua);

  bool to_json(int index, json& out, int depth);
  bool table_to_json(int index, json& out, int depth);
  bool fields_to_json(int index, json& out, int depth);
  static void push(lua_State* lua, const json& value, int depth);
  static void push_object(lua_State* lua, const json& value, int depth);
  std::size_t remember_order(const json& object);
  void open_libraries();
  std::string show(int index);
};

/// While this lives memory has no limit: outside lua_pcall an error would end the program.
struct unlimited {
  explicit unlimited(lua_engine::state& state) : state(state), before(state.limit.memory) {
    state.limit.memory = ~std::size_t{0} / 2;
  }
  unlimited(const unlimited&) = delete;
  unlimited& operator=(const unlimited&) = delete;
  ~unlimited() { state.limit.memory = before; }

  lua_engine::state& state;
  std::size_t before;
};

// --- values --------------------------------------------------------------------------------------

/// Answers false, with an error, for what JSON cannot say. Raises no error of Lua's: the stack has
/// room, and nothing is allocated there.
bool lua_engine::state::to_json(int index, json& out, int depth) {
  switch (lua_type(lua, index)) {
    case LUA_TNIL:
    case LUA_TNONE:
      out = json();
      return true;
    case LUA_TBOOLEAN:
      out = json(lua_toboolean(lua, index) != 0);
      return true;
    case LUA_TNUMBER:
      if (lua_isinteger(lua, index) != 0)
        out = json(static_cast<std::int64_t>(lua_tointeger(lua, index)));
      else
        out = json(static_cast<double>(lua_tonumber(lua, index)));
      return true;
    case LUA_TSTRING: {
      std::size_t size = 0;
      auto* text = lua_tolstring(lua, index, &size);
      out = json(std::string(text, size));
      return true;
    }
    case LUA_TTABLE:
      return table_to_json(lua_absindex(lua, index), out, depth);
    default:
      error = std::string("expected a value that can travel, got a ") +
              lua_typename(lua, lua_type(lua, index));
      return false;
  }
}

bool lua_engine::state::table_to_json(int index, json& out, int depth) {
  if (depth >= deepest || lua_checkstack(lua, 4) == 0) {
    error = "expected at most " + std::to_string(deepest) + " tables within each other";
    return false;
  }
  auto count = lua_rawlen(lua, index);
  out = count > 0 ? json::array() : json::object();
  for (std::size_t i = 1; i <= count; ++i) {
    json item;
    lua_rawgeti(lua, index, static_cast<lua_Integer>(i));
    bool done = to_json(-1, item, depth + 1);
    lua_pop(lua, 1);
    if (!done) return false;
    out.push_back(std::move(item));
  }
  return count > 0 || fields_to_json(index, out, depth);
}

bool lua_engine::state::fields_to_json(int index, json& out, int depth) {
  std::vector<std::string> names;
  if (luaL_getmetafield(lua, index, order_field) == LUA_TNUMBER) {
    // Those that are nil by now, or were null from the beginning, keep their place.
    names = orders[static_cast<std::size_t>(lua_tointeger(lua, -1))];
    for (auto& name : names) out.append(name, json());
    lua_pop(lua, 1);
  }
  std::map<std::string, json> others;
  for (lua_pushnil(lua); lua_next(lua, index) != 0; lua_pop(lua, 1)) {
    // lua_tolstring would turn a number into a text, and confuse lua_next.
    if (lua_type(lua, -2) != LUA_TSTRING) {
      lua_pop(lua, 2);
      error = "expected a table to be a list or to have names for its fields";
      return false;
    }
    json item;
    if (!to_json(-1, item, depth + 1)) {
      lua_pop(lua, 2);
      return false;
    }
    std::string name = lua_tostring(lua, -2);
    if (auto* known = out.find(name))
      *known = std::move(item);
    else
      others.emplace(std::move(name), std::move(item));
  }
  for (auto& [name, item] : others) out.append(name, std::move(item));
  return true;
}

std::size_t lua_engine::state::remember_order(const json& object) {
  std::string joined;
  std::vector<std::string> names;
  for (auto& member : object.members()) {
    names.push_back(member.key);
    joined += member.key + '\n';
  }
  auto known = order_of.find(joined);
  if (known != order_of.end()) return known->second;
  if (orders.size() >= most_orders || names.size() > 64) return no_order;
  orders.push_back(std::move(names));
  return order_of[joined] = orders.size() - 1;
}

void lua_engine::state::push_object(lua_State* lua, const json& value, int depth) {
  lua_createtable(lua, 0, static_cast<int>(value.size()));
  for (auto& member : value.members()) {
    push(lua, member.value, depth + 1);
    lua_setfield(lua, -2, member.key.c_str());
  }
  auto order = of(lua).remember_order(value);
  if (order == no_order) return;
  lua_createtable(lua, 0, 1);
  lua_pushinteger(lua, static_cast<lua_Integer>(order));
  lua_setfield(lua, -2, order_field);
  lua_setmetatable(lua, -2);
}

void lua_engine::state::push(lua_State* lua, const json& value, int depth) {
  luaL_checkstack(lua, 4, "too many tables within each other");
  if (value.is_bool()) {
    lua_pushboolean(lua, value.as_bool() ? 1 : 0);
  } else if (value.is_int()) {
    lua_pushinteger(lua, value.as_int());
  } else if (value.is_number()) {
    lua_pushnumber(lua, value.as_double());
  } else if (value.is_string()) {
    lua_pushlstring(lua, value.as_string().data(), value.as_string().size());
  } else if (value.is_array()) {
    lua_createtable(lua, static_cast<int>(value.size()), 0);
    lua_Integer at = 0;
    for (auto& item : value.items()) {
      push(lua, item, depth + 1);
      lua_rawseti(lua, -2, ++at);
    }
  } else if (value.is_object()) {
    push_object(lua, value, depth);
  } else {
    lua_pushnil(lua);
  }
}

// --- functions -----------------------------------------------------------------------------------

int lua_engine::state::call_function(lua_State* lua) {
  auto& me = of(lua);
  bool done = [&] {
    auto& function =
        me.functions[static_cast<std::size_t>(lua_tointeger(lua, lua_upvalueindex(1)))];
    auto list = json::array();
    for (int i = 1, top = lua_gettop(lua); i <= top; ++i) {
      json item;
      if (!me.to_json(i, item, 0)) return false;
      list.push_back(std::move(item));
    }
    try {
      me.passing = function(std::move(list));
      return true;
    } catch (const std::exception& error) {
      me.error = error.what();
      return false;
    }
  }();
  if (!done) return luaL_error(lua, "%s", me.error.c_str());
  push(lua, me.passing, 0);
  return 1;
}

int lua_engine::state::print_line(lua_State* lua) {
  auto& me = of(lua);
  int count = lua_gettop(lua);
  for (int i = 1; i <= count; ++i) luaL_tolstring(lua, i, nullptr);
  std::string line;
  for (int i = count + 1; i <= 2 * count; ++i) {
    if (i > count + 1) line += '\t';
    line += lua_tostring(lua, i);
  }
  me.print(line);
  return 0;
}

int lua_engine::state::inspect(lua_State* lua) {
  auto& me = of(lua);
  me.print(me.show(1));
  lua_settop(lua, 1);
  return 1;
}

/// load, of text only: bytecode could do anything.
int lua_engine::state::load_text(lua_State* lua) {
  std::size_t size = 0;
  auto* text = luaL_checklstring(lua, 1, &size);
  if (luaL_loadbufferx(lua, text, size, luaL_optstring(lua, 2, text), "t") == LUA_OK) return 1;
  lua_pushnil(lua);
  lua_insert(lua, -2);
  return 2;
}

/// setmetatable without __gc: no hook looks at finalizers, so one that does not end would hang.
int lua_engine::state::set_metatable(lua_State* lua) {
  luaL_checktype(lua, 1, LUA_TTABLE);
  luaL_argexpected(lua, lua_isnil(lua, 2) || lua_istable(lua, 2), 2, "nil or table");
  if (lua_istable(lua, 2)) {
    lua_pushliteral(lua, "__gc");
    if (lua_rawget(lua, 2) != LUA_TNIL) return luaL_error(lua, "finalizers are out of reach");
    lua_pop(lua, 1);
  }
  if (luaL_getmetafield(lua, 1, "__metatable") != LUA_TNIL)
    return luaL_error(lua, "cannot change a protected metatable");
  lua_settop(lua, 2);
  lua_setmetatable(lua, 1);
  return 1;
}

void lua_engine::state::open_libraries() {
  luaL_requiref(lua, LUA_GNAME, luaopen_base, 1);
  luaL_requiref(lua, LUA_TABLIBNAME, luaopen_table, 1);
  luaL_requiref(lua, LUA_STRLIBNAME, luaopen_string, 1);
  luaL_requiref(lua, LUA_MATHLIBNAME, luaopen_math, 1);
  luaL_requiref(lua, LUA_UTF8LIBNAME, luaopen_utf8, 1);
  luaL_requiref(lua, LUA_OSLIBNAME, luaopen_os, 1);
  for (auto* name : {"execute", "exit", "getenv", "remove", "rename", "setlocale", "tmpname"}) {
    lua_pushnil(lua);
    lua_setfield(lua, -2, name);
  }
  lua_settop(lua, 0);
  for (auto* name : {"dofile", "loadfile", "collectgarbage"}) {
    lua_pushnil(lua);
    lua_setglobal(lua, name);
  }
  lua_register(lua, "print", print_line);
  lua_register(lua, "inspect", inspect);
  lua_register(lua, "load", load_text);
  lua_register(lua, "setmetatable", set_metatable);
}

std::string lua_engine::state::show(int index) {
  json value;
  if (to_json(index, value, 0)) return to_lua_text(value);
  // A function, or a table with one in it.
  return std::string("#") + lua_typename(lua, lua_type(lua, index));
}

// --- the engine ----------------------------------------------------------------------------------

lua_engine::lua_engine(limits limits) : state_(std::make_unique<state>(limits, *this)) {
  state_->lua = lua_newstate(&state::allocate, state_.get());
  if (state_->lua == nullptr) throw std::bad_alloc();
  *static_cast<state**>(lua_getextraspace(state_->lua)) = state_.get();
  state_->open_libraries();
}

lua_engine::~lua_engine() { lua_close(state_->lua); }

void lua_engine::define(const std::string& name, function function) {
  auto* lua = state_->lua;
  unlimited guard{*state_};
  state_->functions.push_back(std::move(function));
  auto dot = name.find('.');
  lua_pushinteger(lua, static_cast<lua_Integer>(state_->functions.size() - 1));
  lua_pushcclosure(lua, &state::call_function, 1);
  if (dot == name.npos) return lua_setglobal(lua, name.c_str());
  auto module = name.substr(0, dot);
  if (lua_getglobal(lua, module.c_str()) != LUA_TTABLE) {
    lua_pop(lua, 1);
    lua_newtable(lua);
    lua_pushvalue(lua, -1);
    lua_setglobal(lua, module.c_str());
  }
  lua_insert(lua, -2);
  lua_setfield(lua, -2, name.c_str() + dot + 1);
  lua_pop(lua, 1);
}

void lua_engine::on_print(std::function<void(const std::string&)> print) {
  state_->print = std::move(print);
}

bool lua_engine::has_to_end() const noexcept { return state_->over(); }

lua_engine::outcome lua_engine::run(const std::string& code) {
  auto* lua = state_->lua;
  lua_settop(lua, 0);
  interrupted_ = false;
  auto load = [&](const std::string& text) {
    return luaL_loadbufferx(lua, text.data(), text.size(), "=shell", "t");
  };
  if (load("return " + code) != LUA_OK) {
    lua_settop(lua, 0);
    if (load(code) != LUA_OK) {
      std::string text = lua_tostring(lua, -1);
      lua_settop(lua, 0);
      if (text.ends_with("near <eof>")) return {.ok = false, .incomplete = true, .text = text};
      return {.ok = false, .text = text};
    }
  }
  state_->deadline = clock::now() + state_->limit.time;
  lua_sethook(lua, &state::look, LUA_MASKCOUNT, look_every);
  auto result = lua_pcall(lua, 0, LUA_MULTRET, 0);
  lua_sethook(lua, nullptr, 0, 0);
  unlimited guard{*state_};
  outcome outcome{.ok = result == LUA_OK};
  if (result == LUA_OK) {
    for (int i = 1, top = lua_gettop(lua); i <= top; ++i) {
      if (i > 1) outcome.text += '\n';
      outcome.text += state_->show(i);
    }
  } else if (result == LUA_ERRMEM) {
    outcome.text = "it took more than the " + std::to_string(guard.before >> 20U) +
                   " MiB of memory that it may have";
  } else {
    auto* text = lua_tostring(lua, -1);
    outcome.text = text != nullptr ? text : "an error that is no text";
  }
  state_->passing = json();
  lua_settop(lua, 0);
  lua_gc(lua, LUA_GCCOLLECT);
  return outcome;
}

std::vector<std::string> lua_engine::completions(const std::string& start) {
  auto* lua = state_->lua;
  unlimited guard{*state_};
  auto dot = start.rfind('.');
  auto path = dot == start.npos ? std::string() : start.substr(0, dot + 1);
  auto rest = start.substr(path.size());
  lua_settop(lua, 0);
  lua_pushglobaltable(lua);
  for (std::size_t at = 0; at < path.size();) {
    auto end = path.find('.', at);
    lua_pushlstring(lua, path.data() + at, end - at);
    lua_rawget(lua, -2);
    if (lua_type(lua, -1) != LUA_TTABLE) {
      lua_settop(lua, 0);
      return {};
    }
    at = end + 1;
  }
  std::vector<std::string> found;
  for (lua_pushnil(lua); lua_next(lua, -2) != 0; lua_pop(lua, 1)) {
    if (lua_type(lua, -2) != LUA_TSTRING) continue;
    std::string name = lua_tostring(lua, -2);
    if (!name.starts_with(rest) || (rest.empty() && name.starts_with('_'))) continue;
    if (lua_type(lua, -1) == LUA_TFUNCTION) name += '(';
    if (lua_type(lua, -1) == LUA_TTABLE && path.empty() && name != "_G") name += '.';
    found.push_back(path + name);
  }
  lua_settop(lua, 0);
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace roost::detail
