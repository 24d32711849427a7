# The server and its command-line client, and nothing else. Both are static
# binaries with the certificate authorities and the time zones in them, so no
# file of a distribution is needed. The root file system may be read-only.
FROM scratch
COPY chatd chatctl /
USER 65532:65532
EXPOSE 8000 8081 9464
ENTRYPOINT ["/chatd"]
