/* SPDX-License-Identifier: MIT */
/*
 * key.c - keys of parameters: as text, and through the box to a rank. The text
 * is "mbk-" and 128 bits in hexadecimal, then 16 bits that catch typing errors.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

#define PREFIX "mbk-"
#define DIGITS 36

/* Any digit changed or two exchanged changes it. */
static unsigned int check_bits(const char *hex)
{
	unsigned int sum = 1, i;

	for (i = 0; i < 32; i++)
		sum = (sum * 257 + (unsigned char)hex[i]) % 65521;
	return sum;
}

MB_EXPORT void membox_key_to_text(const struct membox_key *key, char text[MEMBOX_KEY_TEXT])
{
	char hex[33];

	snprintf(hex, sizeof(hex), "%016llx%016llx", (unsigned long long)key->word[0],
		 (unsigned long long)key->word[1]);
	snprintf(text, MEMBOX_KEY_TEXT, PREFIX "%s%04x", hex, check_bits(hex));
}

MB_EXPORT int membox_key_from_text(const char *text, struct membox_key *key)
{
	unsigned long long word[2];
	char hex[33] = "", check[5];
	const char *digits = text + strlen(PREFIX);

	if (strncmp(text, PREFIX, strlen(PREFIX)) || strlen(digits) != DIGITS ||
	    strspn(digits, "0123456789abcdef") != DIGITS)
		return mb_fail(-EINVAL, "not a key: one is %s and %u hexadecimal digits", PREFIX,
			       DIGITS);
	memcpy(hex, digits, 32);
	snprintf(check, sizeof(check), "%04x", check_bits(hex));
	if (memcmp(check, digits + 32, 4))
		return mb_fail(-EINVAL, "key was mistyped: its check digits are wrong");
	sscanf(hex, "%16llx%16llx", &word[0], &word[1]);
	key->word[0] = word[0];
	key->word[1] = word[1];
	return 0;
}

MB_EXPORT int membox_param_key(const struct membox_param *param, struct membox_key *key)
{
	if (!param->has_key)
		return mb_fail(-ENOKEY, "parameter '%s' has no key: it is an open one",
			       param->name);
	*key = param->key;
	return 0;
}

MB_EXPORT int membox_param_grant(struct membox_param *param, struct membox_group *group, int rank)
{
	struct membox_grant_args args = {
		.size = sizeof(args),
		.handle = param->handle,
		.group = group->handle,
		.rank = (uint32_t)rank,
		.key = param->key,
	};
	int ret = mb_check(param->box);

	if (ret)
		return ret;
	if (!param->has_key)
		return mb_fail(-ENOKEY, "param_grant '%s': it is open, everybody may attach",
			       param->name);
	if (group->box != param->box)
		return mb_fail(-EINVAL, "param_grant '%s': group '%s' is of another box",
			       param->name, group->name);
	if (rank < 0 || rank >= group->ranks)
		return mb_fail_status(MEMBOX_ST_BAD_RANK,
				      "param_grant '%s' to rank %d of group '%s' (0 to %d)",
				      param->name, rank, group->name, group->ranks - 1);
	return mb_admin_fail(param->box,
			     param->box->be->admin(param->box, MEMBOX_ADM_PARAM_GRANT, &args,
						   sizeof(args)),
			     "param_grant", param->name, 0);
}
