/* A certificate authority, and a server's certificate for server.test and 127.0.0.1 from it. Made
 * for these tests alone; valid for a hundred years. */
#ifndef TESTS_CRYPTO_TLS_PKI_H
#define TESTS_CRYPTO_TLS_PKI_H

static const char tls_ca[] = "-----BEGIN CERTIFICATE-----\n"
			     "MIIBiTCCAS+gAwIBAgIUU/ZnsC+LuZVDLWVUmeGlheSpu1IwCgYIKoZIzj0EAwIw\n"
			     "GTEXMBUGA1UEAwwOdGVzdCBhdXRob3JpdHkwIBcNMjYxMTI1MTkxMDU1WhgPMjEy\n"
			     "NjExMDExOTEwNTVaMBkxFzAVBgNVBAMMDnRlc3QgYXV0aG9yaXR5MFkwEwYHKoZI\n"
			     "zj0CAQYIKoZIzj0DAQcDQgAEnOZvxYRt9VRlnahXKJujCPIfEcT5n7HI33vu1Tym\n"
			     "/RK7BTpskwqBHWUA6J0QMguckfVOrWznvA6FHKCd/V9OwaNTMFEwHQYDVR0OBBYE\n"
			     "FJ2qwo0/mpxGr/fCIc8Cgnui5dNZMB8GA1UdIwQYMBaAFJ2qwo0/mpxGr/fCIc8C\n"
			     "gnui5dNZMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIhAJ89IOI0\n"
			     "KR1RWlE4OegphhQXEDg6Pel5fBSlg7S1pR3eAiB6HQ2LVOt0e9TB2FRlSsxLv06q\n"
			     "8urP+H+wAjmWxvMZ+w==\n"
			     "-----END CERTIFICATE-----\n";

static const char tls_chain[] = "-----BEGIN CERTIFICATE-----\n"
				"MIIBnzCCAUSgAwIBAgIUDiqcJY86Gm/VN5rs8t+j71S4w8swCgYIKoZIzj0EAwIw\n"
				"GTEXMBUGA1UEAwwOdGVzdCBhdXRob3JpdHkwIBcNMjYxMTI1MTkxMDU2WhgPMjEy\n"
				"NjExMDExOTEwNTZaMBYxFDASBgNVBAMMC3NlcnZlci50ZXN0MFkwEwYHKoZIzj0C\n"
				"AQYIKoZIzj0DAQcDQgAEyEu9o1RF78rGLs6r9EtXA0L3liJm0ODkS7W328zfjgUf\n"
				"5yWPPamZJkbZrhGA4HVvyKFdB/fdRAM8Anenhe2GbaNrMGkwHAYDVR0RBBUwE4IL\n"
				"c2VydmVyLnRlc3SHBH8AAAEwCQYDVR0TBAIwADAdBgNVHQ4EFgQU8KVy4MYVxHmg\n"
				"8PY68NkPQk+189EwHwYDVR0jBBgwFoAUnarCjT+anEav98IhzwKCe6Ll01kwCgYI\n"
				"KoZIzj0EAwIDSQAwRgIhAMNVI3A/M3YeqZOtD+7EA6qQ1Hhz1FBIOYdHXwgvPk/O\n"
				"AiEA3fBMwWZpB5q1ltdyEmp8LztGhaJaa/YAzCSC0vRcl80=\n"
				"-----END CERTIFICATE-----\n";

static const char tls_key[] = "-----BEGIN EC PRIVATE KEY-----\n"
			      "MHcCAQEEIG728M3ADcFzjuY4w5wgzdp6WWMYQfMPvnaIJ3zAM9J9oAoGCCqGSM49\n"
			      "AwEHoUQDQgAEyEu9o1RF78rGLs6r9EtXA0L3liJm0ODkS7W328zfjgUf5yWPPamZ\n"
			      "JkbZrhGA4HVvyKFdB/fdRAM8Anenhe2GbQ==\n"
			      "-----END EC PRIVATE KEY-----\n";

#endif
