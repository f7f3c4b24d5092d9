{{- define "octoserve.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "octoserve.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "octoserve.selectorLabels" -}}
app.kubernetes.io/name: {{ include "octoserve.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "octoserve.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "octoserve.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The labels of pods that serve; the pod of `helm test` must not have them. */}}
{{- define "octoserve.podSelector" -}}
{{ include "octoserve.selectorLabels" . }}
app.kubernetes.io/component: registry
{{- end }}

{{- define "octoserve.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- define "octoserve.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "octoserve.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "octoserve.scheme" -}}
{{- ternary "https" "http" (not (empty .Values.tls.existingSecret)) }}
{{- end }}

{{/* config.json: what the chart decides, and `config` merged over it. */}}
{{- define "octoserve.config" -}}
{{- $config := deepCopy .Values.config }}
{{- $server := get $config "server" | default dict }}
{{- $storage := get $config "storage" | default dict }}
{{- range $key, $instead := dict "port" "service.port" "tls" "tls.existingSecret" "drain_timeout" "shutdown.drainSeconds" }}
{{- if hasKey $server $key }}
{{- fail (printf "config.server.%s is the chart's: set %s instead" $key $instead) }}
{{- end }}
{{- end }}
{{- range $key, $instead := dict "type" "storage.type" "path" "storage.persistence" "s3" "storage.s3" }}
{{- if hasKey $storage $key }}
{{- fail (printf "config.storage.%s is the chart's: set %s instead" $key $instead) }}
{{- end }}
{{- end }}
{{- range list "secret_access_key" "session_token" }}
{{- if hasKey $.Values.storage.s3 . }}
{{- fail (printf "storage.s3.%s would be readable in a ConfigMap: set it by secretEnv or existingSecret" .) }}
{{- end }}
{{- end }}
{{- if hasKey (dig "metrics" dict (get $config "telemetry" | default dict)) "port" }}
{{- fail "config.telemetry.metrics.port is the chart's: set metrics.enabled and metrics.port instead" }}
{{- end }}
{{- $address := get $server "address" | default "0.0.0.0" }}
{{- $own := dict
  "server" (dict
    "address" $address
    "port" 5000
    "drain_timeout" (printf "%ds" (int .Values.shutdown.drainSeconds)))
  "storage" (dict "type" .Values.storage.type) }}
{{- if eq .Values.storage.type "filesystem" }}
{{- $_ := set $own.storage "path" "/var/lib/octoserve" }}
{{- else }}
{{- $_ := set $own.storage "s3" .Values.storage.s3 }}
{{- end }}
{{- if .Values.tls.existingSecret }}
{{- $_ := set $own.server "tls" (dict "certificate" "/etc/octoserve-tls/tls.crt" "key" "/etc/octoserve-tls/tls.key") }}
{{- end }}
{{- if .Values.metrics.enabled }}
{{- $_ := set $own "telemetry" (dict "metrics" (dict "address" $address "port" (int .Values.metrics.port))) }}
{{- end }}
{{- mergeOverwrite $own $config | toPrettyJson }}
{{- end }}

{{/* The pod, the same in the StatefulSet and in the Deployment. */}}
{{- define "octoserve.podTemplate" -}}
metadata:
  annotations:
    # Another configuration is another pod.
    checksum/config: {{ include "octoserve.config" . | sha256sum }}
    {{- if .Values.secretEnv }}
    checksum/secret: {{ toJson .Values.secretEnv | sha256sum }}
    {{- end }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  labels:
    # Without versions: a chart that changes nothing else restarts nothing.
    {{- include "octoserve.podSelector" . | nindent 4 }}
    {{- with .Values.commonLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "octoserve.serviceAccountName" . }}
  automountServiceAccountToken: false
  # Kubernetes would put OCTOSERVE_* variables of its own into the environment.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ add (int .Values.shutdown.preStopSeconds) (int .Values.shutdown.drainSeconds) 10 }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.podSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if and (eq .Values.storage.type "s3") .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range .Values.topologySpreadConstraints }}
    {{- $constraint := deepCopy . }}
    {{- if not (hasKey . "labelSelector") }}
    {{- $labels := include "octoserve.podSelector" $ | fromYaml }}
    {{- $_ := set $constraint "labelSelector" (dict "matchLabels" $labels) }}
    {{- if not (hasKey . "matchLabelKeys") }}
    {{- $_ := set $constraint "matchLabelKeys" (list "pod-template-hash") }}
    {{- end }}
    {{- end }}
    {{- toYaml (list $constraint) | nindent 4 }}
    {{- end }}
  {{- end }}
  containers:
    - name: octoserve
      image: {{ include "octoserve.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve, --config, /etc/octoserve/config.json]
      {{- with .Values.securityContext }}
      securityContext:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.extraEnv }}
      env:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if or .Values.secretEnv .Values.existingSecret .Values.extraEnvFrom }}
      envFrom:
        {{- if .Values.secretEnv }}
        - secretRef:
            name: {{ include "octoserve.fullname" . }}
        {{- end }}
        {{- with .Values.existingSecret }}
        - secretRef:
            name: {{ . }}
        {{- end }}
        {{- with .Values.extraEnvFrom }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
      ports:
        - name: {{ include "octoserve.scheme" . }}
          containerPort: 5000
        {{- if .Values.metrics.enabled }}
        - name: metrics
          containerPort: {{ .Values.metrics.port }}
        {{- end }}
      {{- range $probe, $path := dict "startupProbe" "/livez" "livenessProbe" "/livez" "readinessProbe" "/readyz" }}
      {{ $probe }}:
        httpGet:
          path: {{ $path }}
          port: {{ include "octoserve.scheme" $ }}
          scheme: {{ include "octoserve.scheme" $ | upper }}
        {{- with get $.Values $probe }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
      {{- if gt (int .Values.shutdown.preStopSeconds) 0 }}
      lifecycle:
        # It serves on while the endpoint is taken out of every proxy; then SIGTERM drains it.
        preStop:
          sleep:
            seconds: {{ .Values.shutdown.preStopSeconds }}
      {{- end }}
      {{- with .Values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        - name: config
          mountPath: /etc/octoserve
          readOnly: true
        {{- if eq .Values.storage.type "filesystem" }}
        - name: data
          mountPath: /var/lib/octoserve
        {{- end }}
        {{- if .Values.tls.existingSecret }}
        - name: tls
          mountPath: /etc/octoserve-tls
          readOnly: true
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "octoserve.fullname" . }}
    {{- if eq .Values.storage.type "filesystem" }}
    - name: data
      {{- if .Values.storage.persistence.enabled }}
      persistentVolumeClaim:
        claimName: {{ default (include "octoserve.fullname" .) .Values.storage.persistence.existingClaim }}
      {{- else }}
      emptyDir: {}
      {{- end }}
    {{- end }}
    {{- if .Values.tls.existingSecret }}
    - name: tls
      secret:
        secretName: {{ .Values.tls.existingSecret }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{- define "octoserve.metricsName" -}}
{{- printf "%s-metrics" (include "octoserve.fullname" . | trunc 55 | trimSuffix "-") }}
{{- end }}
