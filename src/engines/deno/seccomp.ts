/**
 * Which system calls a worker's process may make under `sandbox: 'os'`, as a program for Linux's seccomp. It is a list of
 * what Deno needs. All else fails as in a kernel that doesn't have it, which libraries know how to go on from; the call
 * tables of other architectures end the process.
 */

type Architecture = 'x64' | 'arm64';

/** Numbers by architecture; null where the call doesn't exist. */
type Call = readonly [name: string, x64: number | null, arm64: number | null];

/** The low half of an argument; the kernel takes these arguments as 32 bits. */
type Check =
  | { readonly argument: number; readonly oneOf: readonly number[] }
  | { readonly argument: number; readonly mask: number; readonly equals: number };

const memory: readonly Call[] = [
  ['brk', 12, 214],
  ['mmap', 9, 222],
  ['munmap', 11, 215],
  ['mremap', 25, 216],
  ['mprotect', 10, 226],
  ['madvise', 28, 233],
  ['pkey_alloc', 330, 289],
  ['pkey_free', 331, 290],
  ['pkey_mprotect', 329, 288],
  ['membarrier', 324, 283],
];

/** Of the process itself: its threads, signals and clocks. */
const own: readonly Call[] = [
  ['futex', 202, 98],
  ['set_robust_list', 273, 99],
  ['set_tid_address', 218, 96],
  ['rseq', 334, 293],
  ['gettid', 186, 178],
  ['getpid', 39, 172],
  ['getppid', 110, 173],
  ['exit', 60, 93],
  ['exit_group', 231, 94],
  ['sched_yield', 24, 124],
  ['sched_getaffinity', 204, 123],
  ['sched_getscheduler', 145, 120],
  ['sched_getparam', 143, 121],
  ['sched_get_priority_max', 146, 125],
  ['sched_get_priority_min', 147, 126],
  ['getcpu', 309, 168],
  ['tkill', 200, 130],
  ['tgkill', 234, 131],
  ['rt_sigaction', 13, 134],
  ['rt_sigprocmask', 14, 135],
  ['rt_sigreturn', 15, 139],
  ['sigaltstack', 131, 132],
  ['restart_syscall', 219, 128],
  ['clock_gettime', 228, 113],
  ['clock_getres', 229, 114],
  ['gettimeofday', 96, 169],
  ['time', 201, null],
  ['nanosleep', 35, 101],
  ['clock_nanosleep', 230, 115],
  ['uname', 63, 160],
  ['sysinfo', 99, 179],
  ['getrusage', 98, 165],
  ['getrlimit', 97, 163],
  // A limit can only be lowered: no capability is left.
  ['prlimit64', 302, 261],
  ['getrandom', 318, 278],
  ['getuid', 102, 174],
  ['geteuid', 107, 175],
  ['getgid', 104, 176],
  ['getegid', 108, 177],
  ['arch_prctl', 158, null],
  // The filter is in place before Deno is started. Another program to start isn't in its root.
  ['execve', 59, 221],
];

/** Of descriptors that it has; no socket can be made but a pair of its own. */
const descriptors: readonly Call[] = [
  ['read', 0, 63],
  ['readv', 19, 65],
  ['pread64', 17, 67],
  ['preadv', 295, 69],
  ['write', 1, 64],
  ['writev', 20, 66],
  ['lseek', 8, 62],
  ['close', 3, 57],
  ['close_range', 436, 436],
  ['dup', 32, 23],
  ['dup2', 33, null],
  ['dup3', 292, 24],
  ['pipe', 22, null],
  ['pipe2', 293, 59],
  ['poll', 7, null],
  ['ppoll', 271, 73],
  ['select', 23, null],
  ['pselect6', 270, 72],
  ['epoll_create', 213, null],
  ['epoll_create1', 291, 20],
  ['epoll_ctl', 233, 21],
  ['epoll_wait', 232, null],
  ['epoll_pwait', 281, 22],
  ['epoll_pwait2', 441, 441],
  ['eventfd', 284, null],
  ['eventfd2', 290, 19],
  ['recvfrom', 45, 207],
  ['sendto', 44, 206],
];

const files: readonly Call[] = [
  ['stat', 4, null],
  ['lstat', 6, null],
  ['fstat', 5, 80],
  ['newfstatat', 262, 79],
  ['statx', 332, 291],
  ['statfs', 137, 43],
  ['fstatfs', 138, 44],
  ['access', 21, null],
  ['faccessat', 269, 48],
  ['faccessat2', 439, 439],
  ['readlink', 89, null],
  ['readlinkat', 267, 78],
  ['getdents64', 217, 61],
  ['getcwd', 79, 17],
  ['fadvise64', 221, 223],
];

const cloneThread = 0x0001_0000;
/** CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET. */
const cloneNamespaces = 0x7e02_0000;
/** O_WRONLY, O_RDWR, O_CREAT. */
const writing = 0o103;

const checked: readonly (readonly [Call, readonly Check[]])[] = [
  // `clone3` hides its flags behind a pointer: refused, which makes libraries fall back to this.
  [['clone', 56, 220], [{ argument: 0, mask: cloneThread | cloneNamespaces, equals: cloneThread }]],
  [['open', 2, null], [{ argument: 1, mask: writing, equals: 0 }]],
  [['openat', 257, 56], [{ argument: 2, mask: writing, equals: 0 }]],
  [
    ['socketpair', 53, 199],
    [
      // AF_UNIX, SOCK_STREAM
      { argument: 0, oneOf: [1] },
      { argument: 1, mask: 0xf, equals: 1 },
    ],
  ],
  // TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIOCLEX
  [['ioctl', 16, 29], [{ argument: 1, oneOf: [0x5401, 0x5413, 0x541b, 0x5421, 0x5451] }]],
  // F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC
  [['fcntl', 72, 25], [{ argument: 1, oneOf: [0, 1, 2, 3, 4, 1030] }]],
  // PR_SET_NAME, PR_GET_NAME, PR_SET_VMA
  [['prctl', 157, 167], [{ argument: 0, oneOf: [15, 16, 0x5356_4d41] }]],
];

const auditArchitecture = { x64: 0xc000_003e, arm64: 0xc000_00b7 } as const;
/** Numbers from here on are the x32 calls of x86-64, another table. */
const x32 = 0x4000_0000;

// ---- the program ---------------------------------------------------------------------------------------------------

type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, operand: number];

/** In `struct seccomp_data`. */
const numberAt = 0;
const architectureAt = 4;
const argumentAt = (index: number): number => 16 + 8 * index;

const load = (offset: number): Instruction => [0x20, 0, 0, offset];
const and = (mask: number): Instruction => [0x54, 0, 0, mask];
const give = (result: number): Instruction => [0x06, 0, 0, result];
/** How many instructions are skipped when it is so, and when not. */
const ifEqual = (value: number, yes: number, no: number): Instruction => [0x15, yes, no, value];
const ifAtLeast = (value: number, yes: number, no: number): Instruction => [0x35, yes, no, value];

const allow = give(0x7fff_0000);
const endProcess = give(0x8000_0000);
/** ENOSYS. */
const refuse = give(0x0005_0000 | 38);

/** The filter for bubblewrap's `--seccomp`; undefined where there is none for the machine. */
export function seccompFilter(architecture: string): Uint8Array<ArrayBuffer> | undefined {
  if (architecture !== 'x64' && architecture !== 'arm64') return undefined;
  return encode([
    load(architectureAt),
    ifEqual(auditArchitecture[architecture], 1, 0),
    endProcess,
    load(numberAt),
    ifAtLeast(x32, 0, 1),
    endProcess,
    ...[...memory, ...own, ...descriptors, ...files].flatMap((call) => rule(call, [], architecture)),
    ...checked.flatMap(([call, checks]) => rule(call, checks, architecture)),
    refuse,
  ]);
}

/** Leaves the call's number as it is for the next rule, or doesn't come back. */
function rule([, x64, arm64]: Call, checks: readonly Check[], architecture: Architecture): Instruction[] {
  const number = architecture === 'x64' ? x64 : arm64;
  if (number === null) return [];
  const body = [...checks.flatMap(check), allow];
  return [ifEqual(number, 0, body.length), ...body];
}

/** Goes on behind itself when the argument fits. */
function check(wanted: Check): Instruction[] {
  const start = load(argumentAt(wanted.argument));
  if ('mask' in wanted) return [start, and(wanted.mask), ifEqual(wanted.equals, 1, 0), refuse];
  const { oneOf } = wanted;
  return [start, ...oneOf.map((value, index) => ifEqual(value, oneOf.length - index, 0)), refuse];
}

/** As an array of `struct sock_filter`; both architectures are little-endian. */
function encode(program: readonly Instruction[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(program.length * 8);
  const view = new DataView(bytes.buffer);
  program.forEach(([code, ifTrue, ifFalse, operand], index) => {
    view.setUint16(index * 8, code, true);
    view.setUint8(index * 8 + 2, ifTrue);
    view.setUint8(index * 8 + 3, ifFalse);
    view.setUint32(index * 8 + 4, operand, true);
  });
  return bytes;
}
