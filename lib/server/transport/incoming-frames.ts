/** The first byte of a whole text frame (RFC 6455, section 5.2), and the bit that says that a mask follows. */
const WHOLE_TEXT = 0x81;
const MASKED = 0x80;

/** The bits of a frame's first byte: whether it ends its message, and what it is. */
const FINAL = 0x80;
const OPCODE = 0x0f;
const CONTROL = 0x08;
const CLOSE = 0x08;

/** The values that stand for a length of two or eight bytes after them. */
const IN_TWO_BYTES = 126;
const IN_EIGHT_BYTES = 127;
const MASK = 4;

/** The length of a close frame's code, in bytes. */
const CODE = 2;

/** The cost of a piece that waits for the rest of its frame, beside its bytes. */
const PIECE_OVERHEAD = 256;

/** Says whether a chunk is one text message in a frame of its own, as nearly all that clients send is. */
export function isOneMessage(chunk: Buffer): boolean {
  const second = chunk[1] ?? 0;
  if (chunk[0] !== WHOLE_TEXT || second < MASKED) return false;
  const length = second - MASKED;
  if (length < IN_TWO_BYTES) return chunk.length === 2 + MASK + length;
  // Stryker disable next-line EqualityOperator: with its mask it has eight bytes at least
  return length === IN_TWO_BYTES && chunk.length > 4 && chunk.length === 4 + MASK + chunk.readUInt16BE(2);
}

/**
 * Follows a client's frames by their heads, and says what the reader of the WebSocket does not: how many frames carry
 * no message of their own, and how much of a message has come that is not whole yet.
 */
export class IncomingFrames {
  /** The bytes of a frame's head that have come; they are kept until the frame has. */
  readonly #head: number[] = [];
  /** The bytes of the frame that are still to come after its head. */
  #left = 0;
  /** The cost of the message that is under way, and of its frame, so far. */
  #message = 0;
  #frame = 0;
  /** Whether a message has begun whose last frame has not come. */
  #isFragmented = false;
  /** The beginning of a close frame's payload, as it comes: the code. */
  readonly #code: number[] = [];
  /** Whether the client has said that it closes. */
  closes = false;

  /** Reads on, and returns how many frames ended that carry no message of their own: control frames and fragments. */
  read(chunk: Buffer): number {
    let overhead = 0;
    let offset = 0;
    while (offset < chunk.length) {
      if (this.#left === 0 && !this.#readHead(chunk[offset++] ?? 0)) continue;
      const taken = Math.min(this.#left, chunk.length - offset);
      if (this.#isClose) this.#readCode(chunk.subarray(offset, offset + taken));
      this.#left -= taken;
      this.#frame += taken;
      offset += taken;
      if (this.#left === 0 && this.#endFrame()) overhead++;
    }
    if (this.#frame > 0) this.#frame += PIECE_OVERHEAD;
    return overhead;
  }

  /** The bytes that the reader keeps until the message is whole; 0 between two messages. */
  get unfinished(): number {
    return this.#message + this.#frame;
  }

  /** Whether a frame or a message has begun and not ended. */
  get isUnderWay(): boolean {
    return this.#isFragmented || this.#head.length > 0;
  }

  /** The code with which the client closes (RFC 6455, section 7.4); undefined where it has given none. */
  get closeCode(): number | undefined {
    const [high = 0, low] = this.#code;
    return low === undefined ? undefined : high * 256 + low;
  }

  get #isClose(): boolean {
    return ((this.#head[0] ?? 0) & OPCODE) === CLOSE;
  }

  #readCode(payload: Buffer): void {
    const mask = this.#head.slice(-MASK);
    for (const byte of payload) {
      // Stryker disable next-line ConditionalExpression: what comes after the code is not looked at
      if (this.#code.length === CODE) return;
      this.#code.push(byte ^ (mask[this.#code.length] ?? 0));
    }
  }

  /** Takes a byte of a frame's head; returns whether that was the last one. */
  #readHead(byte: number): boolean {
    const head = this.#head;
    this.#frame++;
    if (head.push(byte) < headLength(head)) return false;
    this.#left = payloadLength(head);
    return true;
  }

  /** Returns whether the frame that has ended carries no message of its own. */
  #endFrame(): boolean {
    if (this.#isClose) this.closes = true;
    const [first = 0] = this.#head.splice(0);
    const isControl = (first & CONTROL) !== 0;
    if (!isControl) this.#isFragmented = (first & FINAL) === 0;
    // the reader lets go of a control frame, and of the message with its last frame
    if (!isControl) this.#message = this.#isFragmented ? this.#message + this.#frame + PIECE_OVERHEAD : 0;
    this.#frame = 0;
    return isControl || this.#isFragmented;
  }
}

/** The length of a frame's head, as far as its first bytes tell. */
function headLength([, second = 0]: readonly number[]): number {
  const length = second & ~MASKED;
  const extended = length === IN_EIGHT_BYTES ? 8 : length === IN_TWO_BYTES ? 2 : 0;
  // Stryker disable next-line ConditionalExpression: the reader refuses what has none
  return 2 + extended + (second >= MASKED ? MASK : 0);
}

function payloadLength(head: readonly number[]): number {
  const length = (head[1] ?? 0) & ~MASKED;
  if (length < IN_TWO_BYTES) return length;
  const bytes = head.slice(2, length === IN_TWO_BYTES ? 4 : 10);
  return bytes.reduce((sum, byte) => sum * 256 + byte, 0);
}
