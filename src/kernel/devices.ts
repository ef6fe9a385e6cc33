import type { FileSystem, StreamOps } from './pyodide-internals.ts';

/** Agreed with `python/vivarium/_kernel.py`. Far above what programs open, and protected from `close` and `dup2`. */
const channelFd = 1000;
const sleepFd = 1001;

/** The descriptors that are put there at every boot. */
export const ownDescriptors: ReadonlySet<number> = new Set([0, 1, 2, channelFd, sleepFd]);

/** EBADF in Emscripten's numbering. */
const badDescriptor = 8;
/** Any free major number. */
const major = 64;

export interface DeviceHandlers {
  /** The next bytes, at most `length`; none at the end. */
  stdin(length: number): Uint8Array;
  output(stream: 'stdout' | 'stderr', bytes: Uint8Array): void;
  /** What the harness reads next, at most `length` bytes. */
  request(length: number): Uint8Array;
  reply(bytes: Uint8Array): void;
  sleep(ms: number): void;
}

/**
 * Puts devices of ours at the descriptors 0, 1 and 2, and two private ones for the harness. Python and the kernel talk
 * in bytes only.
 */
export function installDevices(fs: FileSystem, handlers: DeviceHandlers): void {
  const reader = (source: (length: number) => Uint8Array): StreamOps => ({
    read(_stream, buffer, offset, length) {
      const chunk = source(length);
      buffer.set(chunk, offset);
      return chunk.length;
    },
  });
  const writer = (sink: (bytes: Uint8Array) => void): StreamOps => ({
    write(_stream, buffer, offset, length) {
      sink(buffer.subarray(offset, offset + length));
      return length;
    },
  });
  const devices: { fd: number; path: string; flags: number; ops: StreamOps }[] = [
    { fd: 0, path: '/dev/stdin', flags: 0, ops: reader(handlers.stdin) },
    { fd: 1, path: '/dev/stdout', flags: 1, ops: writer((bytes) => handlers.output('stdout', bytes)) },
    { fd: 2, path: '/dev/stderr', flags: 1, ops: writer((bytes) => handlers.output('stderr', bytes)) },
    {
      fd: channelFd,
      path: '/dev/vivarium',
      flags: 2,
      ops: { ...reader(handlers.request), ...writer(handlers.reply) },
    },
    {
      fd: sleepFd,
      path: '/dev/vivarium-sleep',
      flags: 1,
      ops: writer((bytes) => {
        if (bytes.length === 8) handlers.sleep(new DataView(bytes.slice().buffer).getFloat64(0, true));
      }),
    },
  ];
  // They collect what is written until a newline comes, over all runs.
  for (const terminal of ['/dev/tty', '/dev/tty1']) fs.unlink(terminal);
  devices.forEach(({ fd, path, flags, ops }, minor) => {
    const device = fs.makedev(major, minor);
    fs.registerDevice(device, ops);
    if (fd <= 2) fs.unlink(path);
    fs.mkdev(path, 0o600, device);
    const opened = fs.open(path, flags);
    fs.closeStream(opened.fd ?? -1);
    fs.createStream(opened, fd);
  });
  const close = fs.close.bind(fs);
  fs.close = (stream) => {
    if (stream.fd === channelFd || stream.fd === sleepFd) throw new fs.ErrnoError(badDescriptor);
    close(stream);
  };
}
