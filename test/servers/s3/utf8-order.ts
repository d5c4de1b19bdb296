/**
 * Compares well-formed strings as their UTF-8 bytes compare, the order of S3's listings ("Listing object keys
 * programmatically": lexicographic order of UTF-8). JavaScript's own `<` puts surrogates (U+10000 and up) before U+E000..U+FFFF.
 */
export function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let index = 0; index < length; index++) {
    let unitA = a.charCodeAt(index);
    let unitB = b.charCodeAt(index);
    if (unitA !== unitB) {
      if (unitA >= 0xd800 && unitB >= 0xd800) {
        unitA = unitA >= 0xe000 ? unitA - 0x800 : unitA + 0x2000;
        unitB = unitB >= 0xe000 ? unitB - 0x800 : unitB + 0x2000;
      }
      return unitA - unitB;
    }
  }
  return a.length - b.length;
}
