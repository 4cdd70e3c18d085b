/**
 * The message of a refused client that is not a web browser: stock's sentence, byte for byte, since clients and editors show it.
 */
export const NON_BROWSER_REFUSED = "Non-browser connections are disabled for your deployment.";
