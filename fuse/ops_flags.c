/* SPDX-License-Identifier: BSD-3-Clause */
/* ioctl(2), as far as files have it: what lsattr(1) and chattr(1) ask for. Who may is checked by
 * the kernel. */
#include "ops.h"

#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>

/* The same flags in the form of FS_IOC_FSGETXATTR. */
static const struct {
	uint32_t flag, xflag;
} forms[] = {
	{ FS_IMMUTABLE_FL, FS_XFLAG_IMMUTABLE }, { FS_APPEND_FL, FS_XFLAG_APPEND },
	{ FS_NOATIME_FL, FS_XFLAG_NOATIME },	 { FS_NODUMP_FL, FS_XFLAG_NODUMP },
	{ FS_SYNC_FL, FS_XFLAG_SYNC },
};

static uint32_t to_xflags(uint32_t flags)
{
	uint32_t all = 0;

	for (size_t n = 0; n < sizeof(forms) / sizeof(forms[0]); n++)
		if (flags & forms[n].flag)
			all |= forms[n].xflag;
	return all;
}

/* What that form cannot say stays as it is. */
static int from_xflags(uint32_t xflags, uint32_t present, uint32_t *ret)
{
	*ret = present & FS_DIRSYNC_FL;
	for (size_t n = 0; n < sizeof(forms) / sizeof(forms[0]); n++) {
		if (xflags & forms[n].xflag)
			*ret |= forms[n].flag;
		xflags &= ~forms[n].xflag;
	}
	return xflags ? -EOPNOTSUPP : 0;
}

static void get(fuse_req_t req, uint64_t ino, bool extended)
{
	struct fsxattr x = { 0 };
	uint32_t flags;
	int err = fs_get_flags(ops_fs(req), ino, &flags);

	x.fsx_xflags = err < 0 ? 0 : to_xflags(flags);
	if (err < 0)
		ops_reply_err(req, err);
	else if (extended)
		(void)fuse_reply_ioctl(req, 0, &x, sizeof(x));
	else
		(void)fuse_reply_ioctl(req, 0, &flags, sizeof(flags));
}

static int take_flags(const void *in, size_t size, uint32_t *ret)
{
	if (size < sizeof(*ret))
		return -EINVAL;
	memcpy(ret, in, sizeof(*ret));
	return 0;
}

/* Neither extent sizes nor projects: what asks for them is refused, not forgotten. */
static int take_xflags(fuse_req_t req, uint64_t ino, const void *in, size_t size, uint32_t *ret)
{
	struct fsxattr x;
	uint32_t present;
	int err = fs_get_flags(ops_fs(req), ino, &present);

	if (err < 0)
		return err;
	if (size < sizeof(x))
		return -EINVAL;
	memcpy(&x, in, sizeof(x));
	if (x.fsx_extsize || x.fsx_projid || x.fsx_cowextsize)
		return -EOPNOTSUPP;
	return from_xflags(x.fsx_xflags, present, ret);
}

static void set(fuse_req_t req, uint64_t ino, bool extended, const void *in, size_t size)
{
	uint32_t flags = 0;
	int err = extended ? take_xflags(req, ino, in, size, &flags) : take_flags(in, size, &flags);

	if (err >= 0)
		err = fs_set_flags(ops_fs(req), ino, flags);
	if (err < 0) {
		ops_reply_err(req, err);
		return;
	}
	ops_attr_changed(req, ino);
	(void)fuse_reply_ioctl(req, 0, NULL, 0);
}

void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg,
	      struct fuse_file_info *fi, unsigned flags, const void *in_buf, size_t in_size,
	      size_t out_size)
{
	int generation = 0;

	switch (cmd) {
	case FS_IOC_GETFLAGS:
		get(req, ino, false);
		break;
	case FS_IOC_FSGETXATTR:
		get(req, ino, true);
		break;
	case FS_IOC_SETFLAGS:
		set(req, ino, false, in_buf, in_size);
		break;
	case FS_IOC_FSSETXATTR:
		set(req, ino, true, in_buf, in_size);
		break;
	case FS_IOC_GETVERSION:
		(void)fuse_reply_ioctl(req, 0, &generation, sizeof(generation));
		break;
	default:
		ops_reply_err(req, -ENOTTY);
	}
}
