import fc from "fast-check";

/** The first surrogate, and how many there are. */
const [SURROGATES, COUNT] = [0xd800, 0x800];

/** Any character but a lone surrogate; fast-check's own `binary` are the same, and take a second to make. */
export const anyCharacter = fc.nat(0x10ffff - COUNT).map(
  (number) => String.fromCodePoint(number < SURROGATES ? number : number + COUNT),
  (text) => {
    const [character, ...others] = typeof text === "string" ? text : [];
    const point = character?.codePointAt(0) ?? SURROGATES;
    const isSurrogate = point >= SURROGATES && point < SURROGATES + COUNT;
    if (isSurrogate || others.length > 0) throw new TypeError("It is no character");
    return point < SURROGATES ? point : point - COUNT;
  },
);
