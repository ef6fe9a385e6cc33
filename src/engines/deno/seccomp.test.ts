import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seccompFilter } from './seccomp.ts';

const allowed = 'allowed';
const refused = 'refused';
const ended = 'ended';
const results = new Map([
  [0x7fff_0000, allowed],
  // With ENOSYS.
  [0x0005_0026, refused],
  [0x8000_0000, ended],
]);

interface SystemCall {
  number: number;
  architecture: number;
  args?: readonly bigint[];
}

/** Runs a filter as the kernel does. */
function judge(program: Uint8Array, { number, architecture, args = [] }: SystemCall): string {
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, number, true);
  data.setUint32(4, architecture, true);
  args.forEach((value, index) => {
    data.setBigUint64(16 + 8 * index, value, true);
  });
  const code = new DataView(program.buffer, program.byteOffset, program.length);
  let accumulator = 0;
  for (let at = 0; at < program.length / 8; at++) {
    const operand = code.getUint32(at * 8 + 4, true);
    const skip = (yes: boolean): number => code.getUint8(at * 8 + (yes ? 2 : 3));
    switch (code.getUint16(at * 8, true)) {
      case 0x20:
        accumulator = data.getUint32(operand, true);
        break;
      case 0x54:
        accumulator = (accumulator & operand) >>> 0;
        break;
      case 0x15:
        at += skip(accumulator === operand);
        break;
      case 0x35:
        at += skip(accumulator >= operand);
        break;
      case 0x06:
        return results.get(operand) ?? `the result ${operand.toString(16)}`;
      default:
        throw new Error(`an instruction that isn't known, at ${at}`);
    }
  }
  throw new Error('the program ran out');
}

/** By the kernel's tables; null where the call doesn't exist. */
const dangerous: readonly (readonly [name: string, x64: number | null, arm64: number | null])[] = [
  ['fork', 57, null],
  ['vfork', 58, null],
  ['clone3', 435, 435],
  ['execveat', 322, 281],
  ['ptrace', 101, 117],
  ['process_vm_readv', 310, 270],
  ['process_vm_writev', 311, 271],
  ['kcmp', 312, 272],
  ['pidfd_open', 434, 434],
  ['pidfd_getfd', 438, 438],
  ['pidfd_send_signal', 424, 424],
  ['kill', 62, 129],
  ['mount', 165, 40],
  ['umount2', 166, 39],
  ['pivot_root', 155, 41],
  ['chroot', 161, 51],
  ['move_mount', 429, 429],
  ['open_tree', 428, 428],
  ['fsopen', 430, 430],
  ['fsmount', 432, 432],
  ['fsconfig', 431, 431],
  ['mount_setattr', 442, 442],
  ['unshare', 272, 97],
  ['setns', 308, 268],
  ['socket', 41, 198],
  ['connect', 42, 203],
  ['bind', 49, 200],
  ['listen', 50, 201],
  ['accept', 43, 202],
  ['accept4', 288, 242],
  ['sendmsg', 46, 211],
  ['recvmsg', 47, 212],
  ['sendmmsg', 307, 269],
  ['bpf', 321, 280],
  ['perf_event_open', 298, 241],
  ['keyctl', 250, 219],
  ['add_key', 248, 217],
  ['request_key', 249, 218],
  ['io_uring_setup', 425, 425],
  ['io_uring_enter', 426, 426],
  ['io_uring_register', 427, 427],
  ['userfaultfd', 323, 282],
  ['name_to_handle_at', 303, 264],
  ['open_by_handle_at', 304, 265],
  ['openat2', 437, 437],
  ['memfd_create', 319, 279],
  ['memfd_secret', 447, 447],
  ['personality', 135, 92],
  ['modify_ldt', 154, null],
  ['iopl', 172, null],
  ['ioperm', 173, null],
  ['kexec_load', 246, 104],
  ['kexec_file_load', 320, 294],
  ['init_module', 175, 105],
  ['finit_module', 313, 273],
  ['delete_module', 176, 106],
  ['reboot', 169, 142],
  ['swapon', 167, 224],
  ['swapoff', 168, 225],
  ['seccomp', 317, 277],
  ['setuid', 105, 146],
  ['setgid', 106, 144],
  ['setresuid', 117, 147],
  ['capset', 126, 91],
  ['settimeofday', 164, 170],
  ['clock_settime', 227, 112],
  ['adjtimex', 159, 171],
  ['clock_adjtime', 305, 266],
  ['sethostname', 170, 161],
  ['setdomainname', 171, 162],
  ['quotactl', 179, 60],
  ['acct', 163, 89],
  ['syslog', 103, 116],
  ['creat', 85, null],
  ['mkdir', 83, null],
  ['rmdir', 84, null],
  ['rename', 82, null],
  ['link', 86, null],
  ['symlink', 88, null],
  ['unlink', 87, null],
  ['chmod', 90, null],
  ['chown', 92, null],
  ['mknod', 133, null],
  ['mkdirat', 258, 34],
  ['unlinkat', 263, 35],
  ['renameat2', 316, 276],
  ['linkat', 265, 37],
  ['symlinkat', 266, 36],
  ['mknodat', 259, 33],
  ['fchmodat', 268, 53],
  ['fchownat', 260, 54],
  ['ftruncate', 77, 46],
  ['truncate', 76, 45],
  ['fallocate', 285, 47],
  ['pwrite64', 18, 68],
  ['sendfile', 40, null],
  ['copy_file_range', 326, 285],
  ['setxattr', 188, 5],
  ['utimensat', 280, 88],
  ['shmget', 29, 194],
  ['msgget', 68, 186],
  ['semget', 64, 190],
  ['mq_open', 240, 180],
  ['vmsplice', 278, 75],
  ['splice', 275, 76],
  ['inotify_init1', 294, 26],
  ['fanotify_init', 300, 262],
  ['landlock_create_ruleset', 444, 444],
  ['set_mempolicy', 238, 237],
  ['move_pages', 279, 239],
  ['migrate_pages', 256, 238],
  ['setrlimit', 160, 164],
  ['setpriority', 141, 140],
  ['setpgid', 109, 154],
  ['setsid', 112, 157],
];

const machines = [
  {
    name: 'x64',
    architecture: 0xc000_003e,
    column: 1,
    calls: {
      clone: 56,
      openat: 257,
      socketpair: 53,
      ioctl: 16,
      fcntl: 72,
      prctl: 157,
      read: 0,
      mmap: 9,
      execve: 59,
    },
  },
  {
    name: 'arm64',
    architecture: 0xc000_00b7,
    column: 2,
    calls: {
      clone: 220,
      openat: 56,
      socketpair: 199,
      ioctl: 29,
      fcntl: 25,
      prctl: 167,
      read: 63,
      mmap: 222,
      execve: 221,
    },
  },
] as const;

const anyArguments = fc.array(fc.bigInt(0n, 2n ** 64n - 1n), { minLength: 6, maxLength: 6 });

it('has no filter for other machines', () => {
  expect(seccompFilter('riscv64')).toBeUndefined();
});

describe.each(machines)('the filter of system calls for $name', ({ name, architecture, column, calls }) => {
  const program = seccompFilter(name) ?? new Uint8Array();
  const judged = (number: number, ...args: number[]): string =>
    judge(program, { number, architecture, args: args.map(BigInt) });

  it('is within what the kernel takes', () => {
    expect(program.length).toBeGreaterThan(0);
    expect(program.length / 8).toBeLessThanOrEqual(4096);
  });

  it.each(dangerous.filter((call) => call[column] !== null))(
    'refuses %s, whatever it is given',
    (...call) => {
      fc.assert(
        fc.property(anyArguments, (args) => {
          expect(judge(program, { number: call[column] ?? -1, architecture, args })).toBe(refused);
        }),
        { numRuns: 20 },
      );
    },
  );

  it('refuses calls that are newer than it', () => {
    fc.assert(
      fc.property(fc.integer({ min: 450, max: 0x3fff_ffff }), anyArguments, (number, args) => {
        expect(judge(program, { number, architecture, args })).toBe(refused);
      }),
    );
  });

  it('ends a process that calls by another table', () => {
    const others = fc.integer({ min: 0, max: 0xffff_ffff }).filter((other) => other !== architecture);
    const known = fc.constantFrom(0x4000_0003, 0x4000_0028, ...machines.map((one) => one.architecture));
    fc.assert(
      fc.property(fc.oneof(others, known), fc.nat(500), anyArguments, (other, number, args) => {
        fc.pre(other !== architecture);
        expect(judge(program, { number, architecture: other, args })).toBe(ended);
      }),
    );
    // The x32 calls, and what a tracer may put there.
    fc.assert(
      fc.property(fc.integer({ min: 0x4000_0000, max: 0xffff_ffff }), anyArguments, (number, args) => {
        expect(judge(program, { number, architecture, args })).toBe(ended);
      }),
    );
  });

  it('allows what Deno does all the time', () => {
    for (const call of ['read', 'mmap', 'execve'] as const) expect(judged(calls[call]), call).toBe(allowed);
  });

  it('allows threads, and neither processes nor namespaces', () => {
    // As glibc makes a thread; as it forks; as musl makes a thread.
    expect(judged(calls.clone, 0x3d_0f00)).toBe(allowed);
    expect(judged(calls.clone, 0x0120_0011)).toBe(refused);
    expect(judged(calls.clone, 0x7d_0f00)).toBe(allowed);
    const shift = fc.constantFrom(
      0x0002_0000,
      0x0200_0000,
      0x0400_0000,
      0x0800_0000,
      0x1000_0000,
      0x2000_0000,
      0x4000_0000,
    );
    fc.assert(
      fc.property(shift, (namespace) => {
        expect(judged(calls.clone, 0x3d_0f00 + namespace)).toBe(refused);
      }),
    );
  });

  it('looks at arguments: files to read, pairs of sockets, questions', () => {
    const [readOnly, cloexec] = [0, 0o2000000];
    expect(judged(calls.openat, 0, 0, readOnly + cloexec)).toBe(allowed);
    for (const flags of [0o1, 0o2, 0o100, 0o1102, 0o20200002])
      expect(judged(calls.openat, 0, 0, flags + cloexec)).toBe(refused);
    expect(judged(calls.socketpair, 1, 0x8_0801)).toBe(allowed);
    expect(judged(calls.socketpair, 1, 2)).toBe(refused);
    expect(judged(calls.socketpair, 2, 1)).toBe(refused);
    // TCGETS, FIONBIO; TIOCSTI, TIOCSETD
    expect([0x5401, 0x5421, 0x5412, 0x5423].map((request) => judged(calls.ioctl, 0, request))).toStrictEqual([
      allowed,
      allowed,
      refused,
      refused,
    ]);
    // F_DUPFD_CLOEXEC; F_SETOWN, F_SETLEASE
    expect([1030, 8, 1024].map((command) => judged(calls.fcntl, 0, command))).toStrictEqual([
      allowed,
      refused,
      refused,
    ]);
    // PR_SET_NAME; PR_SET_SECCOMP, PR_SET_DUMPABLE, PR_SET_PDEATHSIG
    expect([15, 22, 4, 1].map((option) => judged(calls.prctl, option))).toStrictEqual([
      allowed,
      refused,
      refused,
      refused,
    ]);
  });
});
