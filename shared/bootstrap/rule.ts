/** One thing that may be wrong with a request: the field as seed 003 names it, and what would be right. */
export type Rule = readonly [wrong: boolean, field: string, rule: string];
