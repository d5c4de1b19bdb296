/**
 * The order of the listings: UTF-8 bytes. JavaScript compares strings by UTF-16 units, which puts U+FF0E after an emoji,
 * while their UTF-8 bytes stand the other way round.
 */

/**
 * Compares two strings by their UTF-8 bytes, as `Buffer.compare` of both would, without making buffers.
 * Both have to be well-formed Unicode.
 * @returns negative, zero or positive
 */
export function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let index = 0; index < length; index++) {
    let unitA = a.charCodeAt(index);
    let unitB = b.charCodeAt(index);
    if (unitA !== unitB) {
      // Surrogates (D800 to DFFF) stand for code points above FFFF: they rank after E000 to FFFF.
      if (unitA >= 0xd800 && unitB >= 0xd800) {
        unitA = unitA >= 0xe000 ? unitA - 0x800 : unitA + 0x2000;
        unitB = unitB >= 0xe000 ? unitB - 0x800 : unitB + 0x2000;
      }
      return unitA - unitB;
    }
  }
  return a.length - b.length;
}
