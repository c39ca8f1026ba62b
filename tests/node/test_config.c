/* Settings from four sources: who wins, what is refused, and that the place is named. */
#include "node/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define OK(expr) assert_int_equal((expr), 0)

#define ADDR_1 "/ip4/10.0.0.1/tcp/4001"
#define ADDR_2 "/ip4/10.0.0.2/tcp/4001"
#define ADDR_3 "/dns4/gate.example/tcp/4001"

#define KEY "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

extern char **environ;

/* A home of its own for each test, and no GATE_ variable from outside. */
static char home[] = "/tmp/gate-config-XXXXXX";
static struct config c;
static struct err err;

static void put_file(const char *name, const char *text, size_t n)
{
	char path[256];

	snprintf(path, sizeof path, "%s/%s", home, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, n, f), n);
	fclose(f);
}

static int setup(void **state)
{
	for (bool again = true; again;) {
		again = false;
		for (char **e = environ; *e && !again; e++)
			if (strncmp(*e, "GATE_", 5) == 0) {
				char name[128];
				snprintf(name, sizeof name, "%.*s", (int)strcspn(*e, "="), *e);
				unsetenv(name);
				again = true;
			}
	}
	memcpy(home + strlen(home) - 6, "XXXXXX", 6);
	if (!mkdtemp(home))
		return -1;
	setenv("GATE_HOME", home, 1);
	err = (struct err){0};
	return 0;
}

static int teardown(void **state)
{
	char command[300];

	snprintf(command, sizeof command, "rm -r '%s'", home);
	return system(command);
}

/* Reads with these flags (ended by NULL). */
static int read_with(const char *first, ...)
{
	char *argv[32] = {(char *)"start"};
	int argc = 1;
	bool help = false;
	va_list ap;

	va_start(ap, first);
	for (const char *a = first; a; a = va_arg(ap, const char *))
		argv[argc++] = (char *)a;
	va_end(ap);
	err_clear(&err);
	int rc = config_read(argc, argv, &c, &help, &err);
	return help ? 1 : rc;
}

static void with_file(const char *text)
{
	char path[256];

	put_file("some.toml", text, strlen(text));
	snprintf(path, sizeof path, "%s/some.toml", home);
	setenv("GATE_CONFIG", path, 1);
}

static void says(const char *text)
{
	if (!strstr(err.text, text))
		fail_msg("no \"%s\" in: %s", text, err.text);
}

/* ---- precedence ------------------------------------------------------------------------------ */

static void defaults(void **state)
{
	char expected[128];

	OK(read_with(NULL));
	assert_int_equal(c.port.port, 41145);
	assert_int_equal(c.http_port.port, 31145);
	assert_int_equal(c.control_port.port, 8145);
	assert_false(c.port.chosen || c.http_port.chosen || c.control_port.chosen);
	assert_string_equal(c.listen, "0.0.0.0");
	assert_string_equal(c.http_listen, "127.0.0.1");
	assert_string_equal(c.control_listen, "127.0.0.1");
	assert_string_equal(c.model, "embedded");
	assert_string_equal(c.cluster, "");
	assert_int_equal(c.max_queue, 100);
	assert_int_equal(c.request_timeout_s, 600);
	assert_true(c.mdns);
	assert_int_equal(c.max_connections, 512);
	assert_int_equal(c.network_memory_mib, 256);
	assert_int_equal(c.bandwidth_kib, 0);
	assert_false(c.auto_accept_peers);
	assert_int_equal(c.log_level, LOG_INFO);
	assert_int_equal(c.log_format, LOG_TEXT);
	assert_int_equal(c.n_bootstrap, 0);
	assert_true(c.node_id[0] != '\0');
	snprintf(expected, sizeof expected, "%s/default", home);
	assert_string_equal(c.data_dir, expected);
	OK(read_with("--node-id", "kitchen", NULL));
	snprintf(expected, sizeof expected, "%s/kitchen", home);
	assert_string_equal(c.data_dir, expected);
}

/* One setting of each kind through all sources: each stronger one wins. */
static void precedence(void **state)
{
	with_file("[node]\nid = 'file'\n[model]\npath = '/file.gguf'\n"
		  "[network]\nport = 1001\nlisten = '10.0.0.1'\nmdns = false\n"
		  "[jobs]\nmax_queue = 11\nrequest_timeout_s = 21\n"
		  "[log]\nlevel = 'debug'\nformat = 'json'\n"
		  "[cluster]\nbootstrap = ['" ADDR_1 "', '" ADDR_2 "']\n");
	OK(read_with(NULL));
	assert_string_equal(c.node_id, "file");
	assert_string_equal(c.model, "/file.gguf");
	assert_int_equal(c.port.port, 1001);
	assert_true(c.port.chosen);
	assert_false(c.http_port.chosen);
	assert_string_equal(c.listen, "10.0.0.1");
	assert_false(c.mdns);
	assert_int_equal(c.max_queue, 11);
	assert_int_equal(c.request_timeout_s, 21);
	assert_int_equal(c.log_level, LOG_DEBUG);
	assert_int_equal(c.log_format, LOG_JSON);
	assert_int_equal(c.n_bootstrap, 2);

	setenv("GATE_NODE_ID", "env", 1);
	setenv("GATE_MODEL", "/env.gguf", 1);
	setenv("GATE_PORT", "1002", 1);
	setenv("GATE_LISTEN", "::1", 1);
	setenv("GATE_MDNS", "yes", 1);
	setenv("GATE_MAX_QUEUE", "12", 1);
	setenv("GATE_REQUEST_TIMEOUT", "22", 1);
	setenv("GATE_LOG_LEVEL", "warn", 1);
	setenv("GATE_LOG_FORMAT", "text", 1);
	setenv("GATE_BOOTSTRAP", ADDR_3 ",", 1);
	OK(read_with(NULL));
	assert_string_equal(c.node_id, "env");
	assert_string_equal(c.model, "/env.gguf");
	assert_int_equal(c.port.port, 1002);
	assert_string_equal(c.listen, "::1");
	assert_true(c.mdns);
	assert_int_equal(c.max_queue, 12);
	assert_int_equal(c.request_timeout_s, 22);
	assert_int_equal(c.log_level, LOG_WARN);
	assert_int_equal(c.log_format, LOG_TEXT);
	assert_int_equal(c.n_bootstrap, 1); /* replaced, not mixed */
	assert_string_equal(c.bootstrap[0], ADDR_3);

	OK(read_with("--node-id=flag", "--model", "/flag.gguf", "--port=0", "--listen", "127.0.0.1",
	    "--no-mdns", "--max-queue", "0", "--request-timeout=23", "--log-level", "error",
	    "--log-format", "json", "--bootstrap", ADDR_1, "--bootstrap", ADDR_2 "," ADDR_3, NULL));
	assert_string_equal(c.node_id, "flag");
	assert_string_equal(c.model, "/flag.gguf");
	assert_int_equal(c.port.port, 0);
	assert_true(c.port.chosen);
	assert_string_equal(c.listen, "127.0.0.1");
	assert_false(c.mdns);
	assert_int_equal(c.max_queue, 0);
	assert_int_equal(c.request_timeout_s, 23);
	assert_int_equal(c.log_level, LOG_ERROR);
	assert_int_equal(c.log_format, LOG_JSON);
	assert_int_equal(c.n_bootstrap, 3);
	assert_string_equal(c.bootstrap[2], ADDR_3);

	/* An empty variable is none. */
	setenv("GATE_PORT", "", 1);
	OK(read_with(NULL));
	assert_int_equal(c.port.port, 1001);
}

static void switches(void **state)
{
	OK(read_with("--auto-accept-peers", NULL));
	assert_true(c.auto_accept_peers);
	OK(read_with("--auto-accept-peers", "--no-auto-accept-peers", NULL)); /* the last one */
	assert_false(c.auto_accept_peers);
	OK(read_with("--auto-accept-peers=off", "--mdns=0", NULL));
	assert_false(c.auto_accept_peers || c.mdns);
	setenv("GATE_MDNS", "false", 1);
	OK(read_with(NULL));
	assert_false(c.mdns);
	OK(read_with("--mdns", NULL));
	assert_true(c.mdns);
	assert_int_equal(read_with("--no-mdns=true", NULL), E_INVALID);
	assert_int_equal(read_with("--no-port", "1", NULL), E_INVALID);
	says("unknown flag --no-port");
}

/* A list of one source may be as long as the limit, whatever weaker sources hold. */
static void long_lists(void **state)
{
	char text[8192] = "[cluster]\nbootstrap = [";
	char variable[8192] = "";

	for (int i = 0; i < CONFIG_BOOTSTRAP_MAX; i++) {
		sprintf(text + strlen(text), "'/ip4/10.0.0.%d/tcp/1',", i);
		sprintf(variable + strlen(variable), "%s/ip4/10.0.1.%d/tcp/1", i ? "," : "", i);
	}
	strcat(text, "]\n");
	with_file(text);
	OK(read_with(NULL));
	assert_int_equal(c.n_bootstrap, CONFIG_BOOTSTRAP_MAX);
	setenv("GATE_BOOTSTRAP", variable, 1);
	OK(read_with(NULL));
	assert_int_equal(c.n_bootstrap, CONFIG_BOOTSTRAP_MAX);
	assert_string_equal(c.bootstrap[0], "/ip4/10.0.1.0/tcp/1");
	OK(read_with("--bootstrap", ADDR_1, NULL));
	assert_int_equal(c.n_bootstrap, 1);
	OK(read_with("--bootstrap=", NULL)); /* none after all */
	assert_int_equal(c.n_bootstrap, 0);
	strcat(variable, "," ADDR_1);
	setenv("GATE_BOOTSTRAP", variable, 1);
	assert_int_equal(read_with(NULL), E_INVALID);
	says("environment GATE_BOOTSTRAP: more than 64");
}

/* What is valid is taken, whatever its form; values that switch something off are, too. */
static void accepted(void **state)
{
	char path[256];

	OK(read_with("--cluster", "house", "--cluster-key", KEY, "--kernels", "ref", NULL));
	assert_string_equal(c.cluster_key, KEY);
	OK(read_with("--cluster-key", "", "--join=", "--swarm-key", "", "--cluster", "", NULL));
	OK(read_with("--bootstrap",
	    "/ip4/10.0.0.1/tcp/1/p2p/12D3KooWHeCz9YCqUVDKYbRB9FUvKwKjmDPbu6gzeWvpL4xb5cFH"
	    "/p2p-circuit/p2p/12D3KooWEsGK4VtBPaz9xayuC4UAJmn57LGD79KP6Ly7wYQjhUKq",
	    NULL));
	OK(read_with("--cors-origin", "https://a.example", "--cors-origin",
	    "null,vscode-webview://x:8080,http://[::1]:3000", NULL));
	assert_int_equal(c.n_cors_origins, 4);
	assert_string_equal(c.cors_origins[3], "http://[::1]:3000");
	setenv("GATE_CORS_ORIGIN", "https://b.example", 1);
	OK(read_with(NULL));
	assert_int_equal(c.n_cors_origins, 1);
	snprintf(path, sizeof path, "/key/swarm/psk/1.0.0/\n/base16/\n%s\n", KEY);
	put_file("swarm.key", path, strlen(path));
	snprintf(path, sizeof path, "%s/swarm.key", home);
	OK(read_with("--swarm-key", path, NULL));
}

/* ---- what is refused, and where -------------------------------------------------------------- */

static void bad_flags(void **state)
{
	static const struct {
		const char *flag, *value, *says;
	} cases[] = {
	    {"--port", "x", "--port: \"x\" is not a number from 0 to 65535"},
	    {"--port", "65536", "--port: \"65536\""},
	    {"--port", "-1", "--port: \"-1\""},
	    {"--port", "+1", "--port: \"+1\""},
	    {"--port", "1 ", "--port: \"1 \""},
	    {"--port", "", "--port: \"\""},
	    {"--port", "99999999999999999999", "--port:"},
	    {"--max-queue", "2147483648", "--max-queue:"},
	    {"--request-timeout", "0", "--request-timeout: \"0\" is not a number from 1"},
	    {"--listen", "localhost", "--listen:"},
	    {"--listen", "1.2.3.4:5", "--listen:"},
	    {"--log-level", "loud", "--log-level:"},
	    {"--log-format", "xml", "--log-format:"},
	    {"--mdns=maybe", NULL, "--mdns: \"maybe\" is neither true nor false"},
	    {"--node-id", "../x", "--node-id: \"../x\" is no node id"},
	    {"--node-id", "", "--node-id:"},
	    {"--node-id", "-x", "--node-id:"},
	    {"--node-id", ".x", "--node-id:"},
	    {"--node-id", "a b", "--node-id:"},
	    {"--node-id", "0123456789012345678901234567890123456789012345678901234567890123",
		"--node-id: longer than 63 bytes"},
	    {"--bootstrap", "10.0.0.1:4001", "--bootstrap:"},
	    {"--bootstrap", ADDR_1 ",x", "--bootstrap:"},
	    {"--prot", "1", "unknown flag --prot (see gate start --help)"},
	    {"--", NULL, "unexpected argument \"--\""},
	    {"-p", NULL, "unexpected argument \"-p\""},
	    {"word", NULL, "unexpected argument \"word\""},
	    {"--port", NULL, "--port: the value is missing"},
	    {"--cluster-key", KEY, "--cluster-key: a cluster key without a cluster name"},
	    {"--cluster-key", "short",
		"--cluster-key: a cluster's key is 64 hex digits (these are 5"},
	    {"--cluster-key", KEY "0", "--cluster-key: a cluster's key is 64 hex digits"},
	    {"--cluster", "a\nb", "--cluster: a cluster's name has no control characters"},
	    {"--cluster", "\xff", "--cluster: a cluster's name is valid UTF-8"},
	    {"--kernels", "foo", "--kernels: unknown kernels 'foo': use auto, ref, avx2 or avx512"},
	    {"--threads", "65", "--threads: \"65\" is not a number from 0 to 64"},
	    {"--http-listen", "nonsense",
		"--http-listen: \"nonsense\" is no IP address, like 127.0.0.1"},
	    {"--join", "garbage", "--join: "},
	    {"--join", "og1yzvondhfthqqtg62u53jg", "--join: the join token is damaged"},
	    {"--model", "", "--model: the value is empty"},
	    {"--data-dir", "", "--data-dir: the value is empty"},
	    {"--config", "", "--config: the value is empty"},
	    {"--bootstrap", "/ip4/1.2.3.4",
		"--bootstrap: \"/ip4/1.2.3.4\": not a TCP address: the port is missing; the form "
		"is"},
	    {"--bootstrap", "/ip4/1.2.3.4/udp/1", "--bootstrap: \"/ip4/1.2.3.4/udp/1\": "},
	    {"--bootstrap", "/dnsaddr/example.org", "--bootstrap: "},
	    {"--swarm-key", "/nowhere/swarm.key", "--swarm-key: /nowhere/swarm.key: "},
	    {"--cors-origin", "*", "--cors-origin: \"*\" would let every page use this node"},
	    {"--cors-origin", "https://a.example/",
		"--cors-origin: \"https://a.example/\" is no origin"},
	    {"--cors-origin", "a.example", "--cors-origin:"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		if (read_with(cases[i].flag, cases[i].value, NULL) != E_INVALID)
			fail_msg("taken: %s %s", cases[i].flag, cases[i].value);
		says(cases[i].says);
	}
	assert_null(strstr(err.text, "secret"));
	assert_int_equal(read_with("--nonsense", "--help", NULL), E_INVALID);
	assert_int_equal(read_with("--help", "--nonsense", NULL), 1);
	assert_int_equal(read_with("-h", NULL), 1);
}

static void bad_environment(void **state)
{
	static const char *const cases[][3] = {
	    {"GATE_HTTP_PORT", "x", "environment GATE_HTTP_PORT: \"x\" is not a number"},
	    {"GATE_MDNS", "maybe", "environment GATE_MDNS:"},
	    {"GATE_CONTROL_LISTEN", "here", "environment GATE_CONTROL_LISTEN:"},
	    {"GATE_BOOTSTRAP", "here", "environment GATE_BOOTSTRAP:"},
	    {"GATE_NODE_ID", "a/b", "environment GATE_NODE_ID:"},
	    {"GATE_LOG_LEVEL", "loud", "environment GATE_LOG_LEVEL:"},
	    {"GATE_CLUSTER_KEY", KEY, "environment GATE_CLUSTER_KEY: a cluster key without a"},
	    {"GATE_CLUSTER_KEY", "secret", "environment GATE_CLUSTER_KEY: a cluster's key is 64"},
	    {"GATE_JOIN", "x", "environment GATE_JOIN:"},
	    {"GATE_KERNELS", "x", "environment GATE_KERNELS:"},
	    {"GATE_SWARM_KEY", "/", "environment GATE_SWARM_KEY: /"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		setenv(cases[i][0], cases[i][1], 1);
		assert_int_equal(read_with(NULL), E_INVALID);
		says(cases[i][2]);
		unsetenv(cases[i][0]);
	}
	OK(read_with(NULL));
}

static void bad_files(void **state)
{
	static const char *const cases[][2] = {
	    {"[network]\nport = 'x'\n",
		"some.toml, line 2, column 8: network.port: wants a whole number"},
	    {"[network]\n\nport = 65536\n",
		"line 3, column 8: network.port: \"65536\" is not a number"},
	    {"[network]\nport = -1\n", "line 2, column 8: network.port:"},
	    {"[network]\nport = 1.5\n", "wants a whole number"},
	    {"[network]\nport = true\n", "wants a whole number"},
	    {"[network]\nport = 1979-05-27\n", "wants a whole number"},
	    {"[network]\nport = [1]\n", "network.port: wants a whole number"},
	    {"[network]\nmdns = 'yes'\n", "line 2, column 8: network.mdns: wants true or false"},
	    {"[node]\nid = 7\n", "node.id: wants a string"},
	    {"[node]\nid = ['a', 'b']\n", "line 2, column 6: node.id: wants a string"},
	    {"[node]\nid = []\n", "node.id: wants a string"},
	    {"[node]\nid = 'a b'\n", "node.id: \"a b\" is no node id"},
	    {"[node]\nid = \"a\\u0000b\"\n", "node.id: wants a string"},
	    {"[cluster]\nbootstrap = [1]\n",
		"line 2, column 14: cluster.bootstrap: wants a list of strings"},
	    {"[cluster]\nbootstrap = [['" ADDR_1 "']]\n", "wants a list of strings"},
	    {"[cluster]\nbootstrap = ['" ADDR_1 "',\n  'x']\n",
		"line 3, column 3: cluster.bootstrap:"},
	    {"[log]\nlevel = 'loud'\n", "line 2, column 9: log.level:"},
	    {"[cluster]\n\nkey = '" KEY "'\n",
		"some.toml, line 3, column 7: cluster.key: a cluster key without a cluster name"},
	    {"[cluster]\nkey = 'short'\n", "line 2, column 7: cluster.key: a cluster's key is 64"},
	    {"[model]\nkernels = 'foo'\n", "line 2, column 11: model.kernels: unknown kernels"},
	    {"[model]\npath = ''\n", "line 2, column 8: model.path: the value is empty"},
	    {"[cluster]\njoin = 'x'\n", "line 2, column 8: cluster.join:"},
	    {"[network]\nswarm_key = '/nowhere'\n",
		"line 2, column 13: network.swarm_key: /nowhere: "},
	    {"[http]\ncors_origins = ['https://a.example',\n 'b']\n",
		"line 3, column 2: http.cors_origins:"},
	    {"[network]\nprot = 1\n", "line 2, column 8: unknown setting network.prot"},
	    {"port = 1\n", "line 1, column 8: unknown setting port"},
	    {"[network.port]\nx = 1\n", "unknown setting network.port.x"},
	    {"[[network]]\nport = 1\n", "unknown setting network"},
	    {"config = 'x'\n", "unknown setting config"},
	    {"[network]\nport = \n", "some.toml, line 2, column"},
	    {"[network\n", "some.toml, line 1, column"},
	    {"[network]\nport = 1\nport = 2\n", "some.toml, line 3, column"},
	    {"a = \"\xff\"\n", "some.toml, line 1, column"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		with_file(cases[i][0]);
		if (read_with(NULL) != E_INVALID)
			fail_msg("taken: %s", cases[i][0]);
		says(cases[i][1]);
	}
	with_file("");
	OK(read_with(NULL));
	with_file("# nothing\n[network]\n[cluster]\nbootstrap = []\n");
	OK(read_with(NULL));
	with_file("[cluster]\nbootstrap = '" ADDR_1 "," ADDR_2 "'\n");
	OK(read_with(NULL));
	assert_int_equal(c.n_bootstrap, 2);
}

/* Files that are no settings at all end in a message, too. */
static void odd_files(void **state)
{
	size_t n = 300000;
	char *big = malloc(n);
	char path[256];

	memset(big, '#', n);
	put_file("some.toml", big, n);
	snprintf(path, sizeof path, "%s/some.toml", home);
	assert_int_equal(read_with("--config", path, NULL), E_INVALID);
	says("larger than 262144 bytes");
	memset(big, '[', n);
	put_file("some.toml", big, 262144);
	assert_int_equal(read_with("--config", path, NULL), E_INVALID);
	memcpy(big, "a=", 2);
	put_file("some.toml", big, 262144);
	assert_int_equal(read_with("--config", path, NULL), E_INVALID);
	for (size_t i = 0; i < 262144; i++)
		big[i] = (char)(i * 131 >> 3);
	put_file("some.toml", big, 262144);
	assert_int_equal(read_with("--config", path, NULL), E_INVALID);
	says("some.toml, line");
	free(big);
	assert_int_equal(read_with("--config", "/nowhere/x.toml", NULL), E_NOT_FOUND);
	says("cannot read the configuration /nowhere/x.toml");
	assert_true(read_with("--config", home, NULL) < 0); /* a folder */
	says(home);
}

/* ---- places ---------------------------------------------------------------------------------- */

static void own_file(void **state)
{
	char dir[200], text[300];

	snprintf(dir, sizeof dir, "%s/kitchen", home);
	snprintf(text, sizeof text, "mkdir '%s'", dir);
	OK(system(text));
	put_file("kitchen/gate.toml", "[node]\nid = 'other'\n[network]\nport = 7\n", 39);
	OK(read_with("--node-id", "kitchen", NULL));
	assert_int_equal(c.port.port, 7);
	assert_string_equal(c.node_id, "kitchen");
	/* The folder is where the file was found, whatever the file calls the node. */
	OK(read_with("--data-dir", dir, NULL));
	assert_string_equal(c.node_id, "other");
	assert_string_equal(c.data_dir, dir);
	snprintf(text, sizeof text, "[node]\ndata_dir = '%s/elsewhere'\n", home);
	put_file("kitchen/gate.toml", text, strlen(text));
	assert_int_equal(read_with("--node-id", "kitchen", NULL), E_INVALID);
	says("kitchen/gate.toml: node.data_dir");
	snprintf(text, sizeof text, "%s/kitchen/gate.toml", home);
	OK(read_with("--config", text, NULL)); /* named: then it may */
	snprintf(text, sizeof text, "%s/elsewhere", home);
	assert_string_equal(c.data_dir, text);
}

static void homes(void **state)
{
	char expected[200];
	char *old = getenv("HOME") ? strdup(getenv("HOME")) : NULL;

	setenv("XDG_DATA_HOME", home, 1);
	setenv("HOME", "/nonexistent", 1);
	OK(read_with(NULL));
	snprintf(expected, sizeof expected, "%s/default", home);
	assert_string_equal(c.data_dir, expected);
	unsetenv("GATE_HOME");
	OK(read_with(NULL));
	snprintf(expected, sizeof expected, "%s/opengateway/default", home);
	assert_string_equal(c.data_dir, expected);
	unsetenv("XDG_DATA_HOME");
	OK(read_with(NULL));
	assert_string_equal(c.data_dir, "/nonexistent/.local/share/opengateway/default");
	unsetenv("HOME");
	assert_int_equal(read_with(NULL), E_INVALID);
	says("--data-dir");
	OK(read_with("--data-dir", "/d", NULL));
	if (old)
		setenv("HOME", old, 1);
	free(old);
}

/* Each line of the help has its row in docs/configuration.md, with the same words and default. */
static const char *page;

static void check_row(const char *doc, char *line)
{
	char start[64];
	const char *name = line + 4 + (strncmp(line + 4, "[no-]", 5) == 0 ? 5 : 0);
	int length = (int)strcspn(name, " ");

	snprintf(start, sizeof start, "\n| `--%.*s` | `GATE_", length, name);
	const char *row = strstr(doc, start);
	if (!row)
		fail_msg("%s has no row of --%.*s", page, length, name);
	char *about = line + 31, *bracket = strrchr(about, '[');
	char expected[256];
	if (bracket)
		snprintf(expected, sizeof expected, "| `%.*s` | %.*s |\n",
		    (int)strcspn(bracket + 1, "]"), bracket + 1, (int)(bracket - about - 1), about);
	else
		snprintf(expected, sizeof expected, "|  | %s |\n", about);
	const char *found = strstr(row + 1, expected);
	if (!found || found > strchr(row + 1, '\n'))
		fail_msg("the row of --%.*s does not say %s", length, name, expected);
}

static void documented(void **state)
{
	char *help = NULL, *doc = calloc(1, 65536), *rest;
	size_t n, rows = 0;

	FILE *out = open_memstream(&help, &n);
	config_print_help(out);
	fclose(out);
	FILE *in = fopen(page, "r");
	assert_non_null(in);
	assert_true(fread(doc, 1, 65535, in) > 0);
	fclose(in);
	for (char *line = strtok_r(help, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		if (strncmp(line, "  --", 4) == 0 && strncmp(line, "  --help", 8) != 0) {
			check_row(doc, line);
			rows++;
		}
	assert_true(rows > 20);
	free(doc);
	free(help);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(int argc, char **argv)
{
	page = argc > 1 ? argv[1] : "docs/configuration.md";
	const struct CMUnitTest tests[] = {TEST(defaults), TEST(precedence), TEST(switches),
	    TEST(long_lists), TEST(accepted), TEST(bad_flags), TEST(bad_environment),
	    TEST(bad_files), TEST(odd_files), TEST(own_file), TEST(homes), TEST(documented)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
