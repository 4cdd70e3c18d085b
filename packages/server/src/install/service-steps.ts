/**
 * The part of the install script that starts an agent, directly or as a systemd service. The command itself knows the service's
 * definition.
 */
export const SERVICE_STEPS = `
# Sets TOKEN. Other users cannot see the environment and files, unlike the arguments of a command.
read_token() {
  TOKEN=\${CODER_AGENT_TOKEN:-}
  if [ -z "$TOKEN" ] && [ -n "\${CODER_AGENT_TOKEN_FILE:-}" ]; then
    TOKEN=$(cat "$CODER_AGENT_TOKEN_FILE") || fail "cannot read $CODER_AGENT_TOKEN_FILE"
  fi
  if [ -z "$TOKEN" ] && [ -t 2 ] && (: </dev/tty) 2>/dev/null; then
    printf 'Token of the agent: ' >&2
    stty -echo </dev/tty
    trap 'stty echo </dev/tty' EXIT
    trap 'exit 130' INT TERM
    IFS= read -r TOKEN </dev/tty || true
    stty echo </dev/tty
    trap - EXIT INT TERM
    say ""
  fi
  [ -n "$TOKEN" ] || fail "CODER_AGENT_TOKEN is not set" "coder external-workspaces agent-instructions WORKSPACE prints the line that sets it"
  case $TOKEN in
    *[!0-9a-zA-Z-]*) fail "the agent's token has characters that no token has" ;;
  esac
}

start_agent() {
  CODER_AGENT_URL=$BASE
  CODER_AGENT_TOKEN=$TOKEN
  export CODER_AGENT_URL CODER_AGENT_TOKEN
  # The agent does not start if a file that was set explicitly is missing; one from the environment is ignored with a warning.
  if [ -n "$CHOSEN_CA" ]; then
    CODER_CA_FILE=$CA
    export CODER_CA_FILE
  elif [ -n "$CA" ]; then
    SSL_CERT_FILE=$CA
    export SSL_CERT_FILE
  fi
  umask "$UMASK"
  have "$TARGET" || fail "$TARGET is not installed on this machine"
  if [ "$SERVICE" = yes ]; then exec "$TARGET" agent install </dev/null; fi
  exec "$TARGET" agent </dev/null
}

service_unit() {
  if [ "$(id -u)" = 0 ]; then
    UNIT=/etc/systemd/system/coder-agent.service
  else
    UNIT=\${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/coder-agent.service
  fi
}

service_plan() {
  service_unit
  if [ "$ACTION" = uninstall ]; then
    if [ -f "$UNIT" ]; then printf ' and %s' "$UNIT"; fi
  elif [ "$SERVICE" = yes ]; then
    printf ' as a service, by %s' "$UNIT"
  fi
}

remove_service() {
  service_unit
  [ -f "$UNIT" ] || return 0
  "$TARGET" agent uninstall </dev/null || fail "the agent's service could not be removed, so $TARGET stays"
}
`;
