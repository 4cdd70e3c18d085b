/**
 * Words that the English of this project does without, in comments, texts and documents. One regular expression and one
 * pass, because none of the words can be part of an identifier or of a keyword.
 */
export const BANNED =
  /(?<![\w@.-])(?:(?:no|any|every)body|who(?:m|so)?ever|for[ ]ever|a[n]ew|(?:is|are|was|were|be|been|being) told|need[s] of)(?![\w@-])/gi;
