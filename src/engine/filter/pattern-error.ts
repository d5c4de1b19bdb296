/** What is wrong in a pattern, in words that go behind the pattern itself. */
export class PatternError extends Error {}
