/* NAT-PMP and UPnP through their libraries, which block: on a worker's thread, touching nothing but
 * the job. SPEC RFC 6886 (NAT-PMP); UPnP InternetGatewayDevice, WANIPConnection:1. */
#include "p2p/portmap_priv.h"

#include <arpa/inet.h>
#include <miniupnpc/miniupnpc.h>
#include <miniupnpc/upnpcommands.h>
#include <natpmp.h>
#include <poll.h>
#include <stdio.h>

#define NATPMP_TURNS     4 /* 250, 500, 1000, 2000 ms: then nobody is there */
#define UPNP_DISCOVER_MS 2000
#define UPNP_TTL         2
#define OUTSIDE_TRIES    4 /* ports, when the wanted one is another's */
#define DESCRIPTION      "opengateway"

static int fail(struct portmap_job *job, int rc, const char *what, int code)
{
	(void)snprintf(job->why, sizeof job->why, "%s (%d)", what, code);
	return rc;
}

/* ---- NAT-PMP ------------------------------------------------------------------------------- */

static int natpmp_answer(natpmp_t *n, natpmpresp_t *out)
{
	int rc = NATPMP_TRYAGAIN;

	for (int turn = 0; turn < NATPMP_TURNS && rc == NATPMP_TRYAGAIN; turn++) {
		struct pollfd fd = {.fd = n->s, .events = POLLIN};
		struct timeval wait;
		if (getnatpmprequesttimeout(n, &wait) != 0)
			break;
		(void)poll(&fd, 1, (int)(wait.tv_sec * 1000 + wait.tv_usec / 1000) + 1);
		rc = readnatpmpresponseorretry(n, out);
	}
	return rc;
}

static int natpmp_map(natpmp_t *n, struct portmap_job *job)
{
	natpmpresp_t answer;
	int code;

	if (sendpublicaddressrequest(n) < 0 || (code = natpmp_answer(n, &answer)) != 0)
		return fail(job, E_NOT_FOUND, "the router speaks no NAT-PMP", 0);
	memcpy(job->ip, &answer.pnu.publicaddress.addr, 4);
	/* SPEC RFC 6886 3.4: lifetime 0 removes, and wants port 0 outside. */
	if (sendnewportmappingrequest(n, NATPMP_PROTOCOL_TCP, job->port,
		job->lease_s > 0 ? job->outside : 0, job->lease_s) < 0)
		return fail(job, E_IO, "NAT-PMP: cannot send", 0);
	if ((code = natpmp_answer(n, &answer)) != 0)
		return fail(job, E_REFUSED, "NAT-PMP: refused", code);
	if (job->lease_s > 0 && answer.pnu.newportmapping.lifetime == 0)
		return fail(job, E_REFUSED, "NAT-PMP: no lease", 0);
	job->outside = answer.pnu.newportmapping.mappedpublicport;
	job->lease_s = answer.pnu.newportmapping.lifetime;
	return 0;
}

static int try_natpmp(struct portmap_job *job)
{
	natpmp_t n;
	int rc;

	if (initnatpmp(&n, 0, 0) < 0)
		return fail(job, E_NOT_FOUND, "no router is known", 0);
	rc = natpmp_map(&n, job);
	closenatpmp(&n);
	return rc;
}

/* ---- UPnP ---------------------------------------------------------------------------------- */

struct gateway {
	struct UPNPUrls urls;
	struct IGDdatas data;
	char lan[64]; /* our address as the router knows it */
};

static int upnp_outside(struct gateway *g, struct portmap_job *job)
{
	char ip[64] = "";
	int code = UPNP_GetExternalIPAddress(g->urls.controlURL, g->data.first.servicetype, ip);

	if (code != 0 || inet_pton(AF_INET, ip, job->ip) != 1)
		return fail(job, E_UNSUPPORTED, "UPnP: the router has no address outside", code);
	return 0;
}

static int upnp_add(struct gateway *g, struct portmap_job *job)
{
	char outside[8], inside[8], lease[16];
	int code = 0;

	(void)snprintf(inside, sizeof inside, "%u", job->port);
	(void)snprintf(lease, sizeof lease, "%u", job->lease_s);
	for (int i = 0; i < OUTSIDE_TRIES; i++) {
		unsigned port = (unsigned)job->outside + (unsigned)i;
		(void)snprintf(outside, sizeof outside, "%u", port > 65535 ? port - 64512 : port);
		code = UPNP_AddPortMapping(g->urls.controlURL, g->data.first.servicetype, outside,
		    inside, g->lan, DESCRIPTION, "TCP", NULL, lease);
		if (code == 725) { /* OnlyPermanentLeasesSupported */
			(void)snprintf(lease, sizeof lease, "0");
			code = UPNP_AddPortMapping(g->urls.controlURL, g->data.first.servicetype,
			    outside, inside, g->lan, DESCRIPTION, "TCP", NULL, lease);
		}
		if (code == 0) {
			job->outside = (uint16_t)(port > 65535 ? port - 64512 : port);
			return 0;
		}
	}
	return fail(job, E_REFUSED, "UPnP: refused", code);
}

static int upnp_remove(struct gateway *g, struct portmap_job *job)
{
	char outside[8];

	(void)snprintf(outside, sizeof outside, "%u", job->outside);
	int code = UPNP_DeletePortMapping(
	    g->urls.controlURL, g->data.first.servicetype, outside, "TCP", NULL);
	return code == 0 ? 0 : fail(job, E_REFUSED, "UPnP: not removed", code);
}

static int try_upnp(struct portmap_job *job)
{
	struct gateway g = {0};
	int code = 0, rc;
	struct UPNPDev *found =
	    upnpDiscover(UPNP_DISCOVER_MS, NULL, NULL, UPNP_LOCAL_PORT_ANY, 0, UPNP_TTL, &code);

	if (!found)
		return fail(job, E_NOT_FOUND, "no router answers to NAT-PMP or UPnP", code);
	code = UPNP_GetValidIGD(found, &g.urls, &g.data, g.lan, sizeof g.lan);
	freeUPNPDevlist(found);
	if (code == 0)
		return fail(job, E_NOT_FOUND, "UPnP devices, but no router", 0);
	if (job->lease_s == 0)
		rc = upnp_remove(&g, job);
	else if ((rc = upnp_outside(&g, job)) == 0)
		rc = upnp_add(&g, job);
	FreeUPNPUrls(&g.urls);
	return rc;
}

void portmap_router(void *arg)
{
	struct portmap_job *job = arg;
	enum portmap_method only = job->method;

	job->rc = E_NOT_FOUND;
	if (only != PORTMAP_UPNP) {
		job->rc = try_natpmp(job);
		job->method = PORTMAP_NATPMP;
	}
	if (only == PORTMAP_UPNP || (only == PORTMAP_NONE && job->rc != 0)) {
		job->rc = try_upnp(job);
		job->method = PORTMAP_UPNP;
	}
}
