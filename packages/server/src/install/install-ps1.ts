import type { ScriptFacts } from "./install-sh.ts";
import { powershellQuote } from "./quoting.ts";

/** GET /install.ps1 and, with `agent`, GET /init-script/windows: the installer for PowerShell 5.1 and newer. */
export function installScriptForWindows(facts: ScriptFacts): string {
  const lines = [
    "# Installs the coder command from its deployment. With options:",
    "#   & ([scriptblock]::Create((iwr -useb URL))) -Prefix DIR -Version V -Uninstall -DryRun",
    "param([string]$Prefix = '', [string]$Version = '', [switch]$Uninstall, [switch]$DryRun)",
    "$ErrorActionPreference = 'Stop'",
    "$ProgressPreference = 'SilentlyContinue'",
    `$base = ${powershellQuote(facts.accessUrl.origin)}`,
    ...(facts.agent ? ["if (-not $env:CODER_AGENT_TOKEN) { throw 'CODER_AGENT_TOKEN is not set' }"] : []),
    "# The one build for Windows. On ARM64 Windows runs it by emulation.",
    "$name = 'coder-windows-amd64.exe'",
    "if (-not $Prefix) { $Prefix = Join-Path $env:LOCALAPPDATA 'Programs\\coder' }",
    "$target = Join-Path $Prefix 'coder.exe'",
    'if ($DryRun) { Write-Output "Would install $base/bin/$name as $target"; return }',
    'if ($Uninstall) { Remove-Item -Force -LiteralPath $target; Write-Output "Removed $target"; return }',
    "[Net.ServicePointManager]::SecurityProtocol = [Net.ServicePointManager]::SecurityProtocol -bor [Net.SecurityProtocolType]::Tls12",
    '$sums = (Invoke-WebRequest -UseBasicParsing "$base/bin/SHA256SUMS").Content',
    "if ($sums -is [byte[]]) { $sums = [Text.Encoding]::ASCII.GetString($sums) }",
    "$listed = @($sums -split '\\r?\\n' | Where-Object { $_ -cmatch \"^[0-9a-f]{64}  $([regex]::Escape($name))$\" })",
    'if ($listed.Count -eq 0) { throw "$base has no coder for Windows; ask its administrator to add $name to --binaries-dir" }',
    "$wanted = $listed[0].Substring(0, 64)",
    "New-Item -ItemType Directory -Force -Path $Prefix | Out-Null",
    '$file = Join-Path $Prefix "coder.$PID.new.exe"',
    "try {",
    '  Invoke-WebRequest -UseBasicParsing "$base/bin/$name" -OutFile $file',
    "  $sum = (Get-FileHash -Algorithm SHA256 -LiteralPath $file).Hash.ToLowerInvariant()",
    '  if ($sum -cne $wanted) { throw "Checksum mismatch: the download is not what $base announced. SHA-256 is $sum, it should be $wanted" }',
    "  $offered = (& $file version --output json | Out-String | ConvertFrom-Json).version",
    "  $plain = $offered.TrimStart('v').Split('+')[0]",
    '  if ($Version -and ($Version -cnotin @($offered, $plain, "v$plain"))) { throw "The deployment offers $offered, not $Version" }',
    "  # A program that runs cannot be overwritten, but renamed.",
    '  if (Test-Path -LiteralPath $target) { Move-Item -Force -LiteralPath $target "$target.old" }',
    "  Move-Item -Force -LiteralPath $file $target",
    "} finally {",
    "  if (Test-Path -LiteralPath $file) { Remove-Item -Force -LiteralPath $file }",
    "}",
    'Write-Output "Installed $target ($offered)."',
  ];
  const after = facts.agent
    ? ["$env:CODER_AGENT_URL = $base", "& $target agent"]
    : [
        "if (($env:Path -split ';') -notcontains $Prefix) { Write-Output \"$Prefix is not in Path; add it in the settings of your account.\" }",
        'Write-Output "Next: & `"$target`" login $base"',
      ];
  return [...lines, ...after, ""].join("\r\n");
}
