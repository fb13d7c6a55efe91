/*
 * The door of a copy: clients that it does not admit hear why, with the SQLSTATE of a server that starts (57P03,
 * cannot_connect_now), and so turn to the next host or try again. pg_hba.conf alone could only say that they have no
 * entry there (28000), which drivers take for a wrong password.
 *
 * The agent writes the file "aurora.door" in the data directory: "open", or the sentence for those who stay outside.
 * It is read at the end of each log-in, so that a closed door needs no reload. Whatever is wrong with it, it is closed.
 */
#include "postgres.h"

/* libpq-be.h would want the headers of OpenSSL and GSSAPI, for pointers that nobody looks at here. */
#undef USE_OPENSSL
#undef ENABLE_GSS

#include <fcntl.h>
#include <unistd.h>

#include "fmgr.h"
#include "libpq/auth.h"
#include "libpq/libpq-be.h"
#include "miscadmin.h"

PG_MODULE_MAGIC;

#define DOOR_FILE "aurora.door"
#define OPEN "open"

/* Who comes in by socket or certificate alone (pg_hba.conf), through a closed door too. */
static const char *const ours[] = {"postgres", "aurora_replication"};

static ClientAuthentication_hook_type next_hook = NULL;

static bool
is_ours(const char *role)
{
	for (size_t i = 0; i < lengthof(ours); i++)
		if (strcmp(role, ours[i]) == 0)
			return true;
	return false;
}

/* Whether clients are let in; else what they are to be told. */
static bool
is_open(char *said, size_t size)
{
	int			file = open(DOOR_FILE, O_RDONLY | O_CLOEXEC);
	ssize_t		length = 0;

	if (file >= 0)
	{
		length = read(file, said, size - 1);
		close(file);
	}
	said[Max(length, 0)] = '\0';
	said[strcspn(said, "\n")] = '\0';
	if (said[0] == '\0')
		strlcpy(said, "this copy admits no clients now", size);
	return strcmp(said, OPEN) == 0;
}

static void
check_door(Port *port, int status)
{
	char		said[256];

	if (next_hook)
		next_hook(port, status);
	/* A client that has hung up hears nothing any more. */
	if (status == STATUS_EOF || is_ours(port->user_name) || is_open(said, sizeof(said)))
		return;
	ereport(FATAL,
			(errcode(ERRCODE_CANNOT_CONNECT_NOW),
			 errmsg("%s", said),
			 errhint("Try again, or try another host of the cluster.")));
}

void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("aurora_door works only in shared_preload_libraries")));
	next_hook = ClientAuthentication_hook;
	ClientAuthentication_hook = check_door;
}
