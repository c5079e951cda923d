{{- define "limrank.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* Short enough for the suffixes -metrics, -models, -dashboard and -test within 63 characters. */}}
{{- define "limrank.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "limrank.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "limrank.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* The labels that select the servers but not the pod of helm test. */}}
{{- define "limrank.selectorLabels" -}}
app.kubernetes.io/name: {{ include "limrank.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end }}

{{- define "limrank.labels" -}}
{{ include "limrank.selectorLabels" . }}
{{ include "limrank.commonLabels" . }}
{{- end }}

{{- define "limrank.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "limrank.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "limrank.fullname" .) }}
{{- else }}
{{- .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{- define "limrank.claimName" -}}
{{- .Values.persistence.existingClaim | default (printf "%s-models" (include "limrank.fullname" .)) }}
{{- end }}

{{- define "limrank.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{- /* The name of the Service's port that carries /metrics. */}}
{{- define "limrank.metricsPortName" -}}
{{- if .Values.metrics.port }}metrics{{ else }}http{{ end }}
{{- end }}

{{- /* True when more than one pod may run. */}}
{{- define "limrank.scales" -}}
{{- if or .Values.autoscaling.enabled .Values.keda.enabled (gt (int .Values.replicaCount) 1) }}true{{ end }}
{{- end }}

{{- /* True when a folder for models is mounted at /models. */}}
{{- define "limrank.mountsModels" -}}
{{- if or .Values.persistence.enabled .Values.modelDownload.enabled }}true{{ end }}
{{- end }}
