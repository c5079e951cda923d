{{- /* The parts that the server's pod and the pod of helm test share. */}}
{{- define "limrank.podSpec" -}}
serviceAccountName: {{ include "limrank.serviceAccountName" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- end }}

{{- define "limrank.serverContainer" -}}
- name: limrank
  image: {{ include "limrank.image" . | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [limrank-serve]
  {{- with .Values.engine.extraArgs }}
  args: {{- toYaml . | nindent 4 }}
  {{- end }}
  envFrom:
    {{- with .Values.envFrom }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    - configMapRef:
        name: {{ include "limrank.fullname" . }}
  {{- $threads := include "limrank.threads" . }}
  {{- if or $threads .Values.env }}
  env:
    {{- with $threads }}
    {{- . | trim | nindent 4 }}
    {{- end }}
    {{- with .Values.env }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
  ports:
    - {name: http, containerPort: {{ .Values.containerPort }}, protocol: TCP}
    {{- if .Values.metrics.port }}
    - {name: metrics, containerPort: {{ .Values.metrics.port }}, protocol: TCP}
    {{- end }}
  startupProbe:
    httpGet: {path: /health/live, port: http}
    {{- toYaml .Values.startupProbe | nindent 4 }}
  livenessProbe:
    httpGet: {path: /health/live, port: http}
    {{- toYaml .Values.livenessProbe | nindent 4 }}
  readinessProbe:
    httpGet: {path: /health/ready, port: http}
    {{- toYaml .Values.readinessProbe | nindent 4 }}
  {{- if .Values.lifecycle.preStopSleepSeconds }}
  lifecycle:
    preStop:
      sleep:
        seconds: {{ .Values.lifecycle.preStopSleepSeconds }}
  {{- end }}
  resources: {{- toYaml .Values.resources | nindent 4 }}
  securityContext: {{- toYaml .Values.securityContext | nindent 4 }}
  volumeMounts:
    - {name: cache, mountPath: /cache}
    - {name: tmp, mountPath: /tmp}
    {{- if include "limrank.mountsModels" . }}
    - {name: models, mountPath: /models, readOnly: {{ .Values.persistence.readOnly }}}
    {{- end }}
    {{- if .Values.shm.enabled }}
    - {name: shm, mountPath: /dev/shm}
    {{- end }}
    {{- if .Values.auth.enabled }}
    - {name: keys, mountPath: /etc/limrank/keys, readOnly: true}
    {{- end }}
    {{- with .Values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{- /* Fetches the model's files with the service's own code, so that exactly the files that the service needs are there. */}}
{{- define "limrank.downloadContainer" -}}
- name: download
  image: {{ include "limrank.image" . | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [python, -c]
  args:
    - import sys; from service.models.hub import download; print(download(sys.argv[1], sys.argv[2] or None))
    - {{ .Values.model.name | quote }}
    - {{ .Values.model.revision | quote }}
  env:
    - {name: HOME, value: /tmp}
    - {name: HF_HOME, value: /models/huggingface}
    - {name: HF_XET_CHUNK_CACHE_SIZE_BYTES, value: "0"}
    - {name: HF_HUB_DISABLE_TELEMETRY, value: "1"}
    {{- with .Values.modelDownload.endpoint }}
    - {name: HF_ENDPOINT, value: {{ . | quote }}}
    {{- end }}
    {{- with .Values.modelDownload.tokenSecret }}
    {{- if .name }}
    - name: HF_TOKEN
      valueFrom:
        secretKeyRef:
          name: {{ .name }}
          key: {{ .key }}
    {{- end }}
    {{- end }}
  resources: {{- toYaml .Values.modelDownload.resources | nindent 4 }}
  securityContext: {{- toYaml .Values.securityContext | nindent 4 }}
  volumeMounts:
    - {name: models, mountPath: /models}
    - {name: tmp, mountPath: /tmp}
{{- end }}

{{- /* The keys are mounted as a whole Secret, not as a subPath: a running pod sees changes only in a whole Secret. */}}
{{- define "limrank.volumes" -}}
- name: cache
  emptyDir:
    sizeLimit: {{ .Values.cache.sizeLimit }}
- name: tmp
  emptyDir:
    sizeLimit: {{ .Values.tmp.sizeLimit }}
{{- if .Values.persistence.enabled }}
- name: models
  persistentVolumeClaim:
    claimName: {{ include "limrank.claimName" . }}
    {{- if .Values.persistence.readOnly }}
    readOnly: true
    {{- end }}
{{- else if .Values.modelDownload.enabled }}
- name: models
  emptyDir:
    sizeLimit: {{ .Values.persistence.emptyDirSizeLimit }}
{{- end }}
{{- if .Values.shm.enabled }}
- name: shm
  emptyDir:
    medium: Memory
    sizeLimit: {{ .Values.shm.sizeLimit }}
{{- end }}
{{- if .Values.auth.enabled }}
- name: keys
  secret:
    secretName: {{ .Values.auth.existingSecret }}
    defaultMode: 288
    items:
      - {key: {{ .Values.auth.secretKey | quote }}, path: keys.toml}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
