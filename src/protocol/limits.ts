/**
 * Hard limits of the protocol, the same at both ends. What exceeds them is not cut but refused, so a sender has to
 * stay below: the limits of a run are far smaller. "Chars" are UTF-16 units.
 */
export const protocolLimits = {
  /** One frame on a byte stream, all of it: 256 MiB. */
  maxFrameBytes: 268_435_456,
  /** The JSON of a frame or of a value: 64 MiB. */
  maxJsonBytes: 67_108_864,
  /** Arrays and objects inside one another, in JSON. */
  maxJsonDepth: 200,
  /** Arrays and objects in one JSON text: an empty one takes 2 bytes of text but 40 of memory. */
  maxJsonContainers: 4_000_000,
  /** Binary parts of a message: its files and the buffers of its value. */
  maxParts: 200_000,
  /** `id` of a call. */
  maxIdChars: 128,
  /** Names of ours: stages, packages, versions, codes. */
  maxNameChars: 1024,
  /** Any other text. */
  maxTextChars: 67_108_864,
  /** Files of a message, each way. */
  maxFiles: 100_000,
  /** Path of a file, as UTF-8. */
  maxPathBytes: 4096,
  /** Items of `argv`, entries of an environment, lines of a traceback, packages. */
  maxItems: 10_000,
  /** MIME types in a bundle. */
  maxMimeTypes: 100,
  /** Frames of a traceback. */
  maxFrames: 1000,
  /** Errors in a chain of causes, the first included. */
  maxErrors: 8,
  maxStackChars: 16_384,
  /** Containers inside one another in a value that goes into Python. */
  maxValueDepth: 100,
  /** Rows of a value's tables without columns, which take no bytes. */
  maxBareRows: 1_000_000,
  /** Decimal digits of an integer in a value: reading them takes more than linear time. */
  maxIntDigits: 100_000,
} as const;
Object.freeze(protocolLimits);
