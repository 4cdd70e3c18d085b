/** The part of the install script that starts an agent, by itself or by systemd. */
export const SERVICE_STEPS = `
# Sets TOKEN. The environment and files are not seen by other users, unlike words of a command.
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
  if [ "$SERVICE" = yes ]; then install_service; exit 0; fi
  CODER_AGENT_URL=$BASE
  CODER_AGENT_TOKEN=$TOKEN
  export CODER_AGENT_URL CODER_AGENT_TOKEN
  if [ -n "$AGENT_CA" ]; then
    CODER_CA_FILE=$AGENT_CA
    export CODER_CA_FILE
  fi
  have "$TARGET" || fail "$TARGET is not installed on this machine"
  exec "$TARGET" agent </dev/null
}

service_places() {
  if [ "$(id -u)" = 0 ]; then
    SYSTEMCTL=systemctl
    UNIT=/etc/systemd/system/coder-agent.service
    SECRET=/etc/coder/agent-token
    RUN_AS=\${SUDO_USER:-root}
    WANTED_BY=multi-user.target
  else
    SYSTEMCTL='systemctl --user'
    UNIT=\${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/coder-agent.service
    SECRET=\${XDG_CONFIG_HOME:-$HOME/.config}/coderv2/agent-token
    RUN_AS=
    WANTED_BY=default.target
  fi
}

service_plan() {
  service_places
  if [ "$ACTION" = uninstall ]; then
    if [ -f "$UNIT" ]; then printf ' and %s' "$UNIT"; fi
  elif [ "$SERVICE" = yes ]; then
    printf ' as a service, by %s' "$UNIT"
  fi
}

# One word of a unit file: no line of its own, no specifier, no second word.
unit_word() { printf '"%s"' "$(printf '%s' "$1" | tr -d '\\n' | sed 's/\\\\/\\\\\\\\/g; s/"/\\\\"/g; s/%/%%/g')"; }

install_service() {
  service_places
  if ! have systemctl || [ ! -d /run/systemd/system ]; then
    fail "systemd does not run here, so it cannot run a service" "leave --service out: the agent then runs until it is ended"
  fi
  umask 077
  mkdir -p "\${SECRET%/*}" "\${UNIT%/*}"
  printf '%s\\n' "$TOKEN" >"$SECRET.new"
  if [ -n "$RUN_AS" ]; then
    chown "$RUN_AS" "$SECRET.new"
    chmod 755 "\${SECRET%/*}"
  fi
  mv -f "$SECRET.new" "$SECRET"
  {
    printf '[Unit]\\nDescription=Agent of a coder workspace\\nWants=network-online.target\\nAfter=network-online.target\\n\\n'
    printf '[Service]\\nRestart=always\\nRestartSec=5\\nKillMode=mixed\\n'
    [ -z "$RUN_AS" ] || printf 'User=%s\\nWorkingDirectory=~\\n' "$RUN_AS"
    printf 'Environment=%s\\n' "$(unit_word "CODER_AGENT_URL=$BASE")" "$(unit_word "CODER_AGENT_TOKEN_FILE=$SECRET")"
    [ -z "$AGENT_CA" ] || printf 'Environment=%s\\n' "$(unit_word "CODER_CA_FILE=$AGENT_CA")"
    printf 'ExecStart=%s agent\\n\\n' "$(unit_word "$TARGET" | sed 's/\\$/$$/g')"
    printf '[Install]\\nWantedBy=%s\\n' "$WANTED_BY"
  } >"$UNIT.new"
  chmod 644 "$UNIT.new"
  mv -f "$UNIT.new" "$UNIT"
  $SYSTEMCTL daemon-reload
  $SYSTEMCTL enable --quiet coder-agent.service
  $SYSTEMCTL restart coder-agent.service
  say "The agent runs as a service: $SYSTEMCTL status coder-agent"
  [ -n "$RUN_AS" ] || say "To keep it when you log out: loginctl enable-linger"
}

remove_service() {
  service_places
  [ -f "$UNIT" ] || return 0
  if have systemctl && [ -d /run/systemd/system ]; then $SYSTEMCTL disable --quiet --now coder-agent.service || true; fi
  rm -f "$UNIT" "$SECRET"
  if have systemctl && [ -d /run/systemd/system ]; then $SYSTEMCTL daemon-reload || true; fi
  say "Removed $UNIT and the agent's token."
}
`;
