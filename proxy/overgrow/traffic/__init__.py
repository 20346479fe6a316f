"""Reads recorded traffic: access logs and HAR files, as request lines."""
