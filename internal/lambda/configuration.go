package lambda

const (
	minStorage = 512 // MiB of /tmp, and what a function has if nobody says

	textNoImages = "Coffer does not run container images: send the code as a .zip file in ZipFile."
)

func logGroup(name string) string { return "/aws/lambda/" + name }
