/** Names of the one organization and the one template that every deployment has. */
export const ORGANIZATION_NAME = "coder";
export const TEMPLATE_NAME = "external";
