{{- define "aurora.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "aurora.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains (include "aurora.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "aurora.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Of what belongs to no namespace: releases of the same name in two namespaces share nothing. */}}
{{- define "aurora.clusterwide" -}}
{{- printf "%s-%s" (include "aurora.fullname" .) .Release.Namespace -}}
{{- end -}}

{{- define "aurora.serviceAccount" -}}
{{- default (include "aurora.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{/* What selects the operator's pods, here and in the NetworkPolicy of every cluster. */}}
{{- define "aurora.selector" -}}
app.kubernetes.io/name: {{ include "aurora.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "aurora.labels" -}}
{{ include "aurora.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: aurora-operator
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}
