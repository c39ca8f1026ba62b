// toml++ behind a C function. Nothing thrown leaves this file.
#include "node/toml_priv.h"

#include <cstdio>
#include <cstring>
#include <exception>
#include <sstream>
#include <string>
#include <string_view>
#include <toml++/toml.h>

namespace {

struct walker {
	toml_value_fn fn;
	void *arg;

	int value(const std::string &path, const toml::node &node) const
	{
		const auto at = node.source().begin;
		auto tell = [&](toml_kind kind, const std::string &text) {
			return fn(arg, path.c_str(), at.line, at.column, kind, text.c_str());
		};
		if (const auto *s = node.as_string()) {
			// A NUL inside would hide the rest from C.
			if (s->get().find('\0') != std::string::npos)
				return tell(TOML_OTHER, "");
			return tell(TOML_STRING, s->get());
		}
		if (const auto *i = node.as_integer())
			return tell(TOML_INTEGER, std::to_string(i->get()));
		if (const auto *f = node.as_floating_point())
			return tell(TOML_FLOAT, std::to_string(f->get()));
		if (const auto *b = node.as_boolean())
			return tell(TOML_BOOLEAN, b->get() ? "true" : "false");
		return tell(TOML_OTHER, "");
	}

	int walk(const std::string &path, const toml::node &node) const
	{
		if (const auto *table = node.as_table()) {
			for (const auto &[key, child] : *table) {
				std::string inner = path.empty() ? "" : path + ".";
				if (int rc = walk(inner.append(key.str()), child))
					return rc;
			}
			return 0;
		}
		if (const auto *array = node.as_array()) {
			const auto at = node.source().begin;
			if (int rc = fn(arg, path.c_str(), at.line, at.column, TOML_LIST, ""))
				return rc;
			for (const auto &child : *array)
				if (int rc = child.is_array() || child.is_table()
						 ? fn(arg, path.c_str(), child.source().begin.line,
						       child.source().begin.column, TOML_OTHER, "")
						 : value(path, child))
					return rc;
			return 0;
		}
		return value(path, node);
	}
};

} // namespace

extern "C" int toml_walk(const char *document, size_t n, toml_value_fn fn, void *arg, char *why,
    size_t why_cap, unsigned *line, unsigned *column)
{
	*line = *column = 0;
	try {
		const toml::table table = toml::parse(std::string_view(document, n));
		return walker{fn, arg}.walk("", table) ? 2 : 0;
	} catch (const toml::parse_error &e) {
		*line = e.source().begin.line;
		*column = e.source().begin.column;
		std::snprintf(why, why_cap, "%.*s", static_cast<int>(e.description().size()),
		    e.description().data());
	} catch (const std::exception &e) {
		std::snprintf(why, why_cap, "%s", e.what());
	}
	return 1;
}
