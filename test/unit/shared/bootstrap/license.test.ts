import { describe, expect, test } from "vitest";

import { licenseViolation } from "#shared/bootstrap/license.ts";
import { LICENSE_CHARS_MAX } from "#shared/lib/limits.ts";

const START = "----- LICENSE START -----";
const END = "----- LICENSE END -----";
const LINES = ["SGVsbG8sIHRoaXMgaXMgYSBsaWNlbnNlIHRoYXQgbm9ib2R5IGNoZWNrcy4uLi4u", "MTIzNDU2Nzg5MA=="];

describe("has the form of a license, or says that there is none", () => {
  test.each([
    ["none", ""],
    ["blanks", " \n"],
    ["lines", [START, ...LINES, END].join("\n")],
    ["with a final line break", `${[START, ...LINES, END].join("\n")}\n`],
    ["lines as Windows ends them", [START, ...LINES, END].join("\r\n")],
    ["one line", [START, ...LINES, END].join(" ")],
    ["the seed's example", `${START}\ndi+iK...KniI9\n${END}\n`],
    ["without padding", `${START}\nAAAA\n${END}`],
    ["markers without blanks", `-----LICENSE START-----\nAAAA\n-----LICENSE END-----`],
    ["as long as it may be", `${START}\n${"A".repeat(4000)}\n${END}`.padEnd(LICENSE_CHARS_MAX)],
  ])("%s", (_what, text) => {
    expect(licenseViolation(text)).toBeNull();
  });
});

describe("is told what is wrong with it", () => {
  test.each([
    ["bad_format", "AAAA"],
    ["bad_format", `${START}\nAAAA`],
    ["bad_format", `AAAA\n${END}`],
    ["bad_format", `my license: ${START}\nAAAA\n${END}`],
    ["bad_format", `${END}\nAAAA\n${START}`],
    ["no_content", `${START}\n\n${END}`],
    ["bad_base64", `${START}\nAAA\n${END}`],
    ["bad_base64", `${START}\nAA=A\n${END}`],
    ["bad_base64", `${START}\nAAA-\n${END}`],
    ["bad_base64", `${START}\nAA..AA\n${END}`],
    ["bad_base64", `${START}\nAA...A-\n${END}`],
    ["bad_base64", `${START}\nAAAA\n${END}\n${START}\nAAAA\n${END}`],
    ["too_long", `${START}\n${"A".repeat(LICENSE_CHARS_MAX)}\n${END}`],
    ["too_long", "x".repeat(LICENSE_CHARS_MAX + 1)],
  ])("%s: %s", (violation, text) => {
    expect(licenseViolation(text)).toBe(violation);
  });
});
