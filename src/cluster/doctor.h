/* The doctor: why two nodes do not connect, and the one thing to do about it.
 *
 * It walks the way that a connection takes and stops at the hop that fails: is there an address,
 * does its name resolve, does a port answer, is it a libp2p node, the right one, of this cluster;
 * and, once connected: do the clocks agree, do large messages pass, does discovery hear both ways.
 * A connected peer is asked how it sees us, on a stream of protocol /opengateway/doctor/1.0.0. */
#ifndef CLUSTER_DOCTOR_H
#define CLUSTER_DOCTOR_H

#include "cluster/cluster.h"

enum doctor_verdict {
	DOCTOR_OK,
	DOCTOR_NOTE, /* no obstacle, but worth knowing */
	DOCTOR_FAULT
};

struct doctor_finding {
	enum doctor_verdict verdict;
	const char *hop;   /* "name", "connect", "secure", "cluster" … */
	const char *fault; /* a name for programs, like "port-closed"; "" when all is well */
	char seen[512];    /* what was found, for people */
	char fix[256];     /* the one thing to do; "" where there is nothing */
};

/* Called for each finding as it is made; may park. An error ends the examination. */
typedef int (*doctor_fn)(void *arg, const struct doctor_finding *f, struct err *err);

/* [parks] Examines the way to a peer: NodeId, PeerId, unique label, or a multiaddr of one never
 * heard of; NULL or "": this node itself. E_NOT_FOUND: no peer of that name is known. That faults
 * are found is no error. */
int cluster_doctor(
    struct cluster *c, const char *who, doctor_fn fn, void *arg, struct err *err) WARN_UNUSED;

#endif
